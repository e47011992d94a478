"""The page to sign in, also of the admin pages."""

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from testbed.access.logins import TooManyLogins, attempt_of
from testbed.views.problems import problem_page

TOO_MANY_REQUESTS = 429


class SignIn(LoginView):
    """The form with an account's name and password."""

    template_name = "account/login.html"

    def post(
        self, request: HttpRequest, *args: object, **kwargs: object
    ) -> HttpResponse:
        """Sign in, unless there were too many attempts."""
        try:
            attempt_of(request).count()
        except TooManyLogins as exc:
            page = problem_page(
                request, exc, status=TOO_MANY_REQUESTS, back=reverse("login")
            )
            page.headers["Retry-After"] = str(exc.wait_s)
            return page
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Forget the attempts of an account whose user is there."""
        attempt_of(self.request).take_back()
        return super().form_valid(form)
