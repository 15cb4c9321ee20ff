"""E-mail through a clinic's own SMTP server, as a notification block that automations can use.

Prefect's own e-mail block speaks to one hosted service only. The message is sent by the Prefect
*server*, which finds this block through the package's ``prefect.collections`` entry point.
"""

from __future__ import annotations

from typing import Any, Literal

from apprise.plugins.email.base import NotifyEmail
from prefect.blocks.notifications import AbstractAppriseNotificationBlock
from pydantic import Field, HttpUrl, SecretStr


class EmailNotification(AbstractAppriseNotificationBlock):
    """Sends e-mail through an SMTP server.

    Example:
        Send a message:
        ```python
        from blocks.email import EmailNotification

        mail = EmailNotification.load("BLOCK_NAME")
        mail.notify("The run has failed.", subject="Cycle 3")
        ```
    """

    _block_type_name = "SMTP E-mail"
    _block_type_slug = "smtp-email"
    _description = "Sends notifications by e-mail through an SMTP server of your own."
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/automations")

    host: str = Field(title="Server", description="Host name of the SMTP server.", min_length=1)
    port: int = Field(587, ge=1, le=65535, title="Port", description="587 for STARTTLS, 465: TLS.")
    security: Literal["starttls", "ssl", "insecure"] = Field(
        "starttls",
        title="Encryption",
        description="insecure only where the server is reached by loopback.",
    )
    user: str = Field("", title="User", description="Empty: the server asks for none.")
    password: SecretStr = Field(SecretStr(""), title="Password", description="Kept encrypted.")
    sender: str = Field(title="From", description="Address of the sender.", pattern=r".+@.+")
    recipients: list[str] = Field(title="To", description="Addresses.", min_length=1)

    def block_initialization(self) -> None:
        """Make Apprise's client of it."""
        plugin: Any = NotifyEmail  # Apprise ships no types
        message = plugin(
            smtp_host=self.host,
            host=self.host,
            port=self.port,
            secure=self.security != "insecure",
            secure_mode=self.security,
            user=self.user or None,
            password=self.password.get_secret_value() or None,
            from_addr=self.sender,
            targets=self.recipients,
        )
        self._start_apprise_client(SecretStr(str(message.url())))
