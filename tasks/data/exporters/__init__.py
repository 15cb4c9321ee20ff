"""Write a cycle's rows and recordings for other tools; one module a format."""
