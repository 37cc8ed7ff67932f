"""Hints for exercise 13 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "How many bytes does rank 1 take in all layers together?",
        "A has one row of `inputs` numbers for each rank, B one column of `outputs` numbers, in each layer.",
        "limit // (4 * sum(inputs + outputs for inputs, outputs in shapes)).",
    ),
    "q2": (
        "Every weight must be told, those that learn and those that don't.",
        "name.endswith takes a tuple of endings. endings may be a list.",
        "weight.requires_grad = name.endswith(tuple(endings)), for all named_parameters(); then return those that "
        "learn.",
    ),
    "q3": (
        "Only one of the three matrices has two layouts.",
        "x @ weight.T for (outputs, inputs), x @ weight for the other. The adapter's way is x through A, then "
        "through B.",
        "Add alpha / len(A) * (x @ A.T @ B.T): the rank is the number of A's rows.",
    ),
    "q4": (
        "A product B · A is a sum over ranks: a column of B times a row of A for each. What is a sum of two such sums?",
        "Put the rows of both A below each other, and the columns of both B side by side. The ranks add up.",
        "Multiply each B by its own alpha/rank before, and give the new one alpha = its rank, so that its factor is 1.",
    ),
    "q5": (
        "The pieces are sorted already. Which ones are the first `rank`?",
        "Rows of V and columns of U belong to the pieces; S says how large each is, and must come in once.",
        "A is V[:rank], B is U[:, :rank] * S[:rank].",
    ),
}

WHY = {
    "q1": "An adapter grows with inputs + outputs and a matrix with inputs · outputs: that is the whole saving. All"
    " layers share the file, so their sum is what a rank costs, and // rounds to what still fits.",
    "q2": "requires_grad is set for every weight, to True or False, so that the function can be asked again for "
    "others. Frozen weights get no gradient and no moments, which is where LoRA saves its memory.",
    "q3": "x @ A.T is only `rank` numbers wide, so going through A and B costs little; B · A is never built. "
    "Dividing by the rank keeps the adapter as loud when you choose another rank. A square matrix fits both "
    "ways round and gives wrong numbers without an error: that is why files say which layout they have.",
    "q4": "Side by side, each column of B meets its own row of A and no other, so the product is the sum of both. "
    "(B1 + B2)(A1 + A2) would add two products that nobody trained. Loudness goes into B, since one alpha "
    "can't be two.",
    "q5": "The singular value decomposition sorts a matrix into pieces of rank 1 by size, and no other matrix of "
    "that rank is nearer (Eckart and Young). What is lost is the sum of the squares of the S that you leave "
    "out.",
}
