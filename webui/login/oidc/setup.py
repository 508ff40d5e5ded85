"""The login by a provider, as the settings have it."""

from fastapi import FastAPI

from webui.login.gate import Admit
from webui.login.oidc.login import OidcLogin
from webui.login.oidc.provider import Client, Provider
from webui.login.oidc.roles import Roles
from webui.login.oidc.routes import CALLBACK, add_oidc
from webui.settings import WebuiSettings
from webui.store.sessions import Sessions


def provider_of(settings: WebuiSettings) -> Provider:
    """The provider. To be closed."""
    secret = settings.login_client_secret
    return Provider(
        Client(
            issuer=settings.login_issuer or "",
            client_id=settings.login_client_id or "",
            secret=secret.get_secret_value() if secret else None,
            redirect_uri=f"{settings.public_url}{CALLBACK}",
            scopes=" ".join(settings.login_scopes),
        )
    )


def add_provider_login(
    app: FastAPI, settings: WebuiSettings, provider: Provider, sessions: Sessions
) -> Admit:
    """Add its routes; what tells who has logged in."""
    roles = Roles(
        settings.login_claims,
        frozenset(settings.login_admins),
        frozenset(settings.login_raters),
        frozenset(settings.login_members),
    )
    login = OidcLogin(provider, roles, sessions)
    add_oidc(app, login, settings.public_url or "", provider.client.issuer)
    return login.admit
