"""Signing in and out, one's own password, the team that one looks at."""

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from opsweb.core import audit
from opsweb.core.errors import NotFound
from opsweb.teams import first_password, throttle
from opsweb.teams.actors import actor_for, actor_of
from opsweb.teams.chosen import SESSION_KEY, teams_of_request
from opsweb.teams.models import OneTimePassword


class SignInForm(AuthenticationForm):
    """Name and password."""

    error_messages = {  # noqa: RUF012
        "invalid_login": "This name and this password do not belong together. Mind upper and lower case.",
        "inactive": "This account is switched off. Ask an admin.",
    }


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page. After too many failures from one address or for one name the next try has to wait."""

    template_name = "registration/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask the throttle before any password is hashed."""
        if wait := throttle.take_a_try(request):
            form = self.get_form_class()(request)
            return render(request, self.template_name, {"form": form, "wait_seconds": wait}, status=429)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in; a one-time password leads to a new one of the person's own."""
        response = super().form_valid(form)
        throttle.give_back(self.request)
        user = form.get_user()
        actor = actor_for(user, address=self.request.META.get("REMOTE_ADDR", ""))
        audit.record(actor, "user.sign-in", kind="user", target_id=user.pk, label=user.get_username(), team_id=None)
        if not _is_one_time(user):
            return response
        self.request.session[first_password.SESSION_KEY] = True
        return redirect("password")


class SignOut(LogoutView):
    """Ends the session; POST only."""

    http_method_names = ["post", "options"]


class ChangePassword(PasswordChangeView):
    """One's own password; the page that a one-time password leads to."""

    template_name = "registration/password.html"
    success_url = reverse_lazy("dashboard")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """`is_first`: the one they have now is a one-time password."""
        return super().get_context_data(**kwargs) | {"is_first": _is_one_time(self.request.user)}

    def form_valid(self, form: Any) -> HttpResponse:
        """Change it; it is nobody's one-time password any more."""
        response = super().form_valid(form)
        OneTimePassword.objects.filter(user__username=self.request.user.get_username()).delete()
        self.request.session.pop(first_password.SESSION_KEY, None)
        name = self.request.user.get_username()
        audit.record(actor_of(self.request), "user.password", kind="user", target_id=self.request.user.pk, label=name, team_id=None)
        return response


def _is_one_time(user: Any) -> bool:
    return isinstance(user, User) and OneTimePassword.objects.filter(user=user).exists()


@require_POST
def choose_team(request: HttpRequest) -> HttpResponse:
    """Look at another team from now on. Raises: NotFound for a team that is not there or not theirs."""
    wanted = request.POST.get("team", "")
    if wanted not in {team.name for team in teams_of_request(request)}:
        raise NotFound
    request.session[SESSION_KEY] = wanted
    return redirect("dashboard")
