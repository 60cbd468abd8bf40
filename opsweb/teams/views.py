"""Signing in and out, one's own password, and which team the pages are about."""

from typing import Any

from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from opsweb.core import audit
from opsweb.core.errors import NotFound
from opsweb.teams.actors import actor_of
from opsweb.teams.chosen import SESSION_KEY, teams_of_request
from opsweb.teams.models import OneTimePassword


class SignInForm(AuthenticationForm):
    """One sentence for every reason, so that it tells nobody which names exist."""

    error_messages = {"invalid_login": "Name and password do not fit together. Capital letters count.", "inactive": "This account is switched off."}


@method_decorator(login_not_required, name="dispatch")
class SignIn(auth.LoginView):
    """One card. A one-time password leads to choosing one's own."""

    template_name = "registration/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_success_url(self) -> str:
        """Where the person wanted to go; first to the password page with a one-time password."""
        if OneTimePassword.objects.filter(user=self.request.user).exists():
            return reverse("password")
        return super().get_success_url()


class SignOut(auth.LogoutView):
    """POST only, as Django has it."""


class ChangePassword(auth.PasswordChangeView):
    """One's own password; ends the one-time password."""

    template_name = "registration/password.html"
    success_url = reverse_lazy("dashboard")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Adds `is_first`: the person came with a one-time password."""
        return super().get_context_data(is_first=OneTimePassword.objects.filter(user=self.request.user).exists(), **kwargs)

    def form_valid(self, form: Form) -> HttpResponse:
        """Save it, forget the one-time password, write it down."""
        response = super().form_valid(form)
        user = self.request.user
        OneTimePassword.objects.filter(user=user).delete()
        audit.record(actor_of(self.request), "user.password", kind="user", target_id=user.pk, label=user.get_username(), team_id=None)
        messages.success(self.request, "Your password is changed.")
        return response


@require_POST
def choose_team(request: HttpRequest) -> HttpResponseRedirect:
    """Remember the team that the pages are about, and go back without a `?team=` that would say otherwise."""
    name = request.POST.get("team", "")
    if name not in {team.name for team in teams_of_request(request)}:
        raise NotFound
    request.session[SESSION_KEY] = name
    back = request.POST.get("back", "")
    is_ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return redirect(back if is_ours else "dashboard")
