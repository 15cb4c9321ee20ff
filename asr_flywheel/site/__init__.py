"""A local Prefect site: server, worker, registration and automations."""
