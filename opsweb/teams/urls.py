"""Signing in and out."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from opsweb.teams import views

urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("new-password/", views.new_password, name="new-password"),
]
