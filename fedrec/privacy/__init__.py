"""Differential privacy: what a release costs, how much noise a budget asks for, the noise, the ledger, the claim.

`accountant` turns planned or done releases into an epsilon; `calibrate` goes the other way; `mechanism` draws noise;
`ledger` (on `chain`) records what was spent before anything is released; `statement` puts the claim into words.
Nothing here knows models or tensors: a row has a bound, a sum has a sensitivity, and that is all.
"""
