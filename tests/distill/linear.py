"""Linear algebra over two elements, for audits of what was disclosed."""


def gf2_rank(rows):
    """Rank of rows given as whole numbers."""
    pivots = {}
    for row in rows:
        while row:
            top = row.bit_length()
            if top not in pivots:
                pivots[top] = row
                break
            row ^= pivots[top]
    return len(pivots)
