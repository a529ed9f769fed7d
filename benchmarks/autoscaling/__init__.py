"""One replica becomes three and one again while a load rises and falls; every call must be answered."""
