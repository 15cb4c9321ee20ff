"""GPU hosts, rented and own: provision, upload, run, download, release."""
