"""The ten min-entropy estimators for sources that need not be IID: NIST SP 800-90B (January 2018), 6.3.1 to 6.3.10.

What it is for: raw bits of a physical source, before any conditioning. Each estimator answers "how well could one
strategy guess the next sample", with a 99 % margin against the source; the least answer is the most that the source
may claim. It is no proof: a counter under AES scores as a perfect source does.
What it knows nothing about: files, and the restart tests of section 3.1.4, which need the source itself.
Which file to read first: ``suite.py``; ``predictors_plain.py`` says what the predictors do, ``predictors.py`` does it
twenty times faster for samples that are bits.
"""
