"""Does a replica's memory stay where it is over many requests?"""
