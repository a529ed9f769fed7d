"""What is done to a service. Each fault is put in and taken out; the table of them is in `catalogue`."""
