"""Login at an OpenID Connect provider: Keycloak, Google, Microsoft Entra ID and others."""
