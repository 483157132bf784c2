"""The device of one person: what it keeps, what the person allowed, what may leave.

`store` keeps sanitised observations, encrypted. `consent` keeps what was granted and withdrawn, and
what was done with it. `respondent` answers questions: nothing leaves it without a consent that holds
and a budget that covers it.
"""
