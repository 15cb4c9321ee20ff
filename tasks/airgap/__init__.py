"""How does everything that a run needs reach a network that reaches nothing?"""
