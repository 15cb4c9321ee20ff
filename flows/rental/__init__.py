"""The parts of the flow provision-gpu."""
