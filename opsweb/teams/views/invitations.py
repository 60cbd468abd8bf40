"""Invitations: made and taken back on the team's page, used on a page that anybody may open."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods, require_POST

from opsweb.core.access import Actor
from opsweb.core.errors import Conflict, NotFound, Refusal
from opsweb.environment import env
from opsweb.teams import invitations, pages, throttle
from opsweb.teams.actors import actor_of, origin_of
from opsweb.teams.forms import LIFETIMES, InviteForm
from opsweb.teams.models import Invitation, Membership
from opsweb.teams.views.team import context_of, fetch, page_of

DOOR = "join"  # of the throttle


@require_POST
def create(request: HttpRequest, name: str) -> HttpResponse:
    """Make a link, and show it this once."""
    team, actor = fetch(request, name), actor_of(request)
    form = InviteForm(request.POST)
    if not form.is_valid():
        return pages.refused(request, Conflict("Choose a role and how long the link holds."), page_of(team))
    try:
        secret = invitations.invite(team, form.cleaned_data["role"], timedelta(hours=form.cleaned_data["hours"]), actor=actor)
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    link = f"{env.panel_url}{reverse('teams:join')}?invitation={secret}"
    new = {"link": link, "role": form.cleaned_data["role"], "holds": LIFETIMES[form.cleaned_data["hours"]]}
    pages.follow_team(request, team)
    response = render(request, "teams/detail.html", context_of(request, team) | {"new": new})
    patch_cache_control(response, private=True, no_store=True)
    return response


@require_POST
def revoke(request: HttpRequest, name: str, invitation_id: int) -> HttpResponse:
    """Take a link back."""
    team, actor = fetch(request, name), actor_of(request)
    try:
        invitations.revoke(team, invitation_id, actor=actor)
    except Refusal as error:
        return pages.refused(request, error, page_of(team))
    return pages.done(request, "The invitation was taken back.", page_of(team))


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """Where a link leads. Its secret is in the query, which no log of ours holds; looking uses nothing up."""
    if wait := throttle.take_a_try(request, DOOR):
        return render(request, "teams/join_wait.html", {"wait_seconds": wait}, status=429)
    secret = request.GET.get("invitation", "")
    try:
        invitation = invitations.find(secret)
        if request.method == "POST":
            return _use(request, invitation, secret)
    except NotFound:
        return render(request, "teams/join_gone.html", status=404)
    throttle.give_back(request, DOOR)
    return _page(request, invitation, UserCreationForm())


def _use(request: HttpRequest, invitation: Invitation, secret: str) -> HttpResponse:
    """Raises: NotFound when somebody else was faster."""
    if not request.user.is_authenticated:
        return _use_as_new(request, invitation, secret)
    if "username" in request.POST:  # they came from elsewhere, without their cookie, and have an account after all
        return _page(request, invitation, UserCreationForm())
    try:
        invitations.join(secret, actor=actor_of(request))
    except Conflict:
        return _page(request, invitation, UserCreationForm(), status=409)
    throttle.give_back(request, DOOR)
    return pages.moved(request, f"You are in {invitation.team} now, as {invitation.role}.", page_of(invitation.team))


def _use_as_new(request: HttpRequest, invitation: Invitation, secret: str) -> HttpResponse:
    form: UserCreationForm[User] = UserCreationForm(request.POST)
    if not form.is_valid():
        return _page(request, invitation, form, status=422)
    name, password = form.cleaned_data["username"], form.cleaned_data["password1"]
    nobody_yet = Actor(None, name, **origin_of(request))
    try:
        user = invitations.join_as_new(secret, name, password, actor=nobody_yet)
    except Conflict as error:
        form.add_error("username", error.message)
        return _page(request, invitation, form, status=422)
    login(request, user)
    throttle.give_back(request, DOOR)
    return redirect(page_of(invitation.team))


def _page(request: HttpRequest, invitation: Invitation, form: Any, *, status: int = 200) -> HttpResponse:
    """For who is signed in a button; for who is not the form of a new account, and the way to the sign-in."""
    is_member = Membership.objects.filter(team=invitation.team, user=request.user.pk or 0).exists()
    back = f"{request.path}?{request.GET.urlencode()}"
    context = {"invitation": invitation, "form": form, "is_member": is_member, "back": back}
    response = render(request, "teams/join.html", context, status=status)
    patch_cache_control(response, private=True, no_store=True)
    return response
