"""Hints for exercise 14 in three steps, and why each model answer is as it is."""

HINTS = {
    "q1": (
        "What does the model need for the whole text? Then divide by what both tokenizers share.",
        "loss * tokens are the nats of the text. A bit is ln 2 nats. Bytes are those of text.encode('utf-8').",
        "loss * tokens / math.log(2) / len(text.encode('utf-8')).",
    ),
    "q2": (
        "As if each token had been asked once: which mean is that?",
        "Add up loss * tokens, and divide by all tokens. Only then comes e to the power of it.",
        "math.exp(sum(loss * tokens for loss, tokens in scores) / sum(tokens for _, tokens in scores)).",
    ),
    "q3": (
        "A spread is a property of documents, an error one of their mean.",
        "The standard error is values.std() divided by the root of their number.",
        "Return values.mean().item() and 2 * (values.std() / len(values) ** 0.5).item().",
    ),
    "q4": (
        "Whose band? Each document gives one number: ours minus theirs.",
        "band of these differences gives a mean and a reach. Where does 0 lie?",
        "If abs(mean) <= reach nobody can tell; otherwise ours is better if the mean is below 0.",
    ),
    "q5": (
        "You only have to find a run that is longer than the longest so far.",
        "For each first word, try one word more than `longest`, with a space around, as long as it stands in `known`.",
        "while first + longest < len(words) and f\" {' '.join(words[first : first + longest + 1])} \" in known: "
        "longest += 1.",
    ),
    "q6": (
        "Four steps: a mean for each answer, a choice for each question, a share of all, a band.",
        "The choice is each.index(max(each)), and it is right if it is the question's number.",
        "share = sum(right) / len(right), and 2 * math.sqrt(share * (1 - share) / len(right)).",
    ),
}

WHY = {
    "q1": "Loss times tokens is the price of the whole text, and doesn't depend on how it was cut. Bytes are the "
    "same for every tokenizer; letters are, too, but a text of ñ would look dearer than one of n.",
    "q2": "A perplexity is e to the power of a mean over tokens, so long texts weigh more, and the mean comes "
    "before the exponential. A mean of perplexities would be ruled by the hardest text.",
    "q3": "Single documents differ by the spread; their mean differs less, by the root of how many there are. A "
    "sample has its squares divided by n - 1, since its own mean lies nearer to it than the true one does.",
    "q4": "Hard documents are hard for both models, and that cancels in the difference of each. The band of the "
    "differences can be far narrower than those of the two models, and only it answers the question that was "
    "asked.",
    "q5": "A shorter run can't win, so the search goes on with the length that it has reached and never falls back."
    " The spaces around make fox and foxes two words.",
    "q6": "A sum of log-probabilities falls with every token, so it would choose by length. Each question is right "
    "or wrong, and the spread of such a 0 or 1 is √(p(1 − p)): twice that over √n is the band.",
}
