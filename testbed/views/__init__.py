"""What the browser asks for: each view finds the object for this user, calls a form
or a service, and renders or redirects. Writing happens in `services`."""
