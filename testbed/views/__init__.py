"""The views: each finds the object for this user, calls a form or a function of a
subject's package, and renders or redirects. Those packages write, never a view."""
