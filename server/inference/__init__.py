"""How one window is answered: through the scheduler to an engine and back."""
