"""What takes minutes by its nature: slow clocks, large simulations."""
