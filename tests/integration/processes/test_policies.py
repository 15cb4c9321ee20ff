"""The e-mail block, in front of a real mail server."""

from __future__ import annotations

from blocks.email import EmailNotification
from tests.support import notification_receivers


def test_an_e_mail_arrives() -> None:
    """Through a real SMTP server, with subject, sender, recipients and text."""
    with notification_receivers.mailbox() as (port, got):
        block = EmailNotification(
            host="127.0.0.1",
            port=port,
            security="insecure",
            sender="flywheel@clinic.example",
            recipients=["asr@clinic.example", "ops@clinic.example"],
        )
        with block.raise_on_failure():
            block.notify("Cycle 3 failed: the store is full.", subject="ASR cycle")
    assert {message["to"] for message in got} == {"asr@clinic.example", "ops@clinic.example"}
    assert all("flywheel@clinic.example" in message["from"] for message in got)
    assert all(message["subject"] == "ASR cycle" for message in got)
    assert all("the store is full" in message.as_string() for message in got)
