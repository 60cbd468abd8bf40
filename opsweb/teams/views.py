"""Signing in and out, and the new password that follows a one-time one."""

from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from opsweb.core import audit
from opsweb.teams import throttle
from opsweb.teams.actors import actor_for, actor_of
from opsweb.teams.models import OneTimePassword


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """The sign-in page. Too many failures from one address or for one name have to wait."""

    template_name = "registration/sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Check the throttle before any password is hashed."""
        if wait := throttle.seconds_to_wait(request):
            form = self.get_form_class()(request)
            return render(request, self.template_name, {"form": form, "wait_seconds": wait}, status=429)
        return super().post(request, *args, **kwargs)

    def form_invalid(self, form: object) -> HttpResponse:
        """Count the failure."""
        throttle.count_failure(self.request)
        return super().form_invalid(form)  # type: ignore[arg-type]

    def form_valid(self, form: object) -> HttpResponse:
        """Sign in; a one-time password leads to a new one of the person's own."""
        response = super().form_valid(form)  # type: ignore[arg-type]
        throttle.forget(self.request)
        user = self.request.user
        actor = actor_for(user, address=self.request.META.get("REMOTE_ADDR", ""))  # type: ignore[arg-type]
        audit.record(actor, "user.sign-in", kind="user", target_id=user.pk, label=user.get_username(), team_id=None)
        if OneTimePassword.objects.filter(user_id=user.pk).exists():
            return redirect("new-password")
        return response


@require_http_methods(["GET", "POST"])
def new_password(request: HttpRequest) -> HttpResponse:
    """Choose a password; asked for after a one-time one, open to everybody else."""
    user = request.user
    assert isinstance(user, User)  # LoginRequiredMiddleware
    form = SetPasswordForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        OneTimePassword.objects.filter(user=user).delete()
        update_session_auth_hash(request, user)
        audit.record(actor_of(request), "user.password", kind="user", target_id=user.pk, label=user.username, team_id=None)
        return redirect("dashboard")
    is_first = OneTimePassword.objects.filter(user=user).exists()
    return render(request, "registration/new_password.html", {"form": form, "is_first": is_first})
