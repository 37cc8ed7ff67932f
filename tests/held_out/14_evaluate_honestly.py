"""Answers to exercise 14, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss * tokens / math.log(2) / len(text)
""",
            "characters instead of bytes",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss * tokens / len(text.encode("utf-8"))
""",
            "nats instead of bits",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss * tokens * math.log(2) / len(text.encode("utf-8"))
""",
            "multiplies by ln 2",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss / math.log(2) / len(text.encode("utf-8"))
""",
            "forgotten step: the loss is a mean over tokens",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss / math.log(2)
""",
            "bits a token",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss * tokens / math.log(2) / len(text.split())
""",
            "words instead of bytes",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return len(text.encode("utf-8")) * math.log(2) / (loss * tokens)
""",
            "bytes a bit: upside down",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    return loss * tokens / math.log(2) / len(text.encode("utf-16-le"))
""",
            "another encoding: two bytes for each character",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    nats = loss * tokens
    return nats / math.log(2) / len(text)
""",
            "divides by characters instead of UTF-8 bytes",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    nats = loss * tokens
    return nats * math.log(2) / len(text.encode("utf-8"))
""",
            "multiplies by log 2 instead of dividing",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    nats = loss * tokens
    size = len(text.strip().encode("utf-8"))
    return nats / (math.log(2) * size)
""",
            "strips spaces and line ends from the text before it counts the bytes",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    nats = loss * (tokens - 1)
    return nats / math.log(2) / len(text.encode("utf-8"))
""",
            "one token too few: takes the first one off once more",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    nats = torch.tensor(loss * tokens, dtype=torch.float64)
    bits = nats.exp().log2()
    return float(bits) / len(text.encode("utf-8"))
""",
            "takes the exponential of the sum for the whole text, which is infinite for long texts",
        ),
    ],
    "q2": [
        Answer(
            """
def pool(scores):
    return sum(math.exp(loss) for loss, _ in scores) / len(scores)
""",
            "a mean of perplexities",
        ),
        Answer(
            """
def pool(scores):
    return math.exp(sum(loss for loss, _ in scores) / len(scores))
""",
            "every text counts the same",
        ),
        Answer(
            """
def pool(scores):
    total = sum(tokens for _, tokens in scores)
    return sum(math.exp(loss) * tokens for loss, tokens in scores) / total
""",
            "a mean of perplexities, weighted by tokens",
        ),
        Answer(
            """
def pool(scores):
    total = sum(tokens for _, tokens in scores)
    return sum(loss * tokens for loss, tokens in scores) / total
""",
            "forgotten step: the loss, not the perplexity",
        ),
        Answer(
            """
def pool(scores):
    total = sum(tokens for _, tokens in scores)
    return 2 ** (sum(loss * tokens for loss, tokens in scores) / total)
""",
            "2 to the power of a loss in nats",
        ),
        Answer(
            """
def pool(scores):
    total = sum(tokens for _, tokens in scores)
    product = 1.0
    for loss, tokens in scores:
        product *= math.exp(loss) ** tokens
    return product ** (1 / total)
""",
            "numerically unstable: a product of all perplexities",
        ),
        Answer(
            """
def pool(scores):
    total = sum(loss for loss, _ in scores)
    return math.exp(sum(loss * tokens for loss, tokens in scores) / total)
""",
            "swapped: weighs tokens by losses",
        ),
        Answer(
            """
def pool(scores):
    return math.exp(min(700.0, sum(loss * tokens for loss, tokens in scores) / len(scores)))
""",
            "divides by the number of texts",
        ),
        Answer(
            """
def pool(scores):
    total = sum(loss for loss, tokens in scores)
    return math.exp(total / len(scores))
""",
            "plain mean over the texts, without their numbers of tokens",
        ),
        Answer(
            """
def pool(scores):
    total = sum(tokens for _, tokens in scores)
    return sum(math.exp(loss) * tokens for loss, tokens in scores) / total
""",
            "weighted mean of perplexities instead of the perplexity of the mean loss",
        ),
        Answer(
            """
def pool(scores):
    by_loss = dict(scores)
    total = sum(by_loss.values())
    return math.exp(sum(loss * tokens for loss, tokens in by_loss.items()) / total)
""",
            "a dictionary by loss: of texts with the same loss only the last one counts",
        ),
        Answer(
            """
def pool(scores):
    mean, seen = scores[0]
    for loss, tokens in scores[1:]:
        mean = (mean * seen + loss * tokens) / (seen + tokens)
        seen = tokens
    return math.exp(mean)
""",
            "running mean that remembers only the last text's tokens (wrong from three texts on)",
        ),
        Answer(
            """
def pool(scores):
    total, count = 0.0, 0
    for loss, tokens in scores:
        if loss and tokens:
            total += loss * tokens
            count += tokens
    return math.exp(total / count) if count else 1.0
""",
            "a text with a loss of 0 is taken for one that wasn't measured",
        ),
    ],
    "q3": [
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    error = values.std() / len(values) ** 0.5
    return values.mean().item(), error.item()
""",
            "one standard error",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), 2 * values.std().item()
""",
            "the spread of the documents themselves",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), 2 * values.std().item() / len(values)
""",
            "forgets the root",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), 2 * values.std(unbiased=False).item() / len(values) ** 0.5
""",
            "divides by n in the spread: all that there could be, not a sample",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), 2 * values.var().item() / len(values) ** 0.5
""",
            "the variance in the place of the spread",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    reach = 2 * values.std() / len(values) ** 0.5
    return (values.mean() - reach).item(), (values.mean() + reach).item()
""",
            "both ends of the band",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.median().item(), 2 * values.std().item() / len(values) ** 0.5
""",
            "the median in the place of the mean",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), 4 * values.std().item() / len(values) ** 0.5
""",
            "a width from end to end: four standard errors",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), 2 * values.std().item() / (len(values) - 1) ** 0.5
""",
            "the root of one document less, twice",
        ),
        Answer(
            """
import statistics


def band(values):
    error = statistics.pstdev(values) / math.sqrt(len(values))
    return statistics.mean(values), 2 * error
""",
            "spread of a whole population instead of a sample",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    error = values.std() / math.sqrt(len(values))
    return values.mean().item(), 1.96 * error.item()
""",
            "1.96 standard errors instead of two",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float32)
    n = len(values)
    mean = values.mean()
    variance = ((values**2).mean() - mean**2) * n / (n - 1)
    error = math.sqrt(max(variance.item(), 0.0) / n)
    return mean.item(), 2 * error
""",
            "mean of squares minus square of mean in float32: values that lie close together lose their spread",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor(values, dtype=torch.float64)
    error = values.std() / len(values) ** 0.5
    return (values.mean() - 2 * error).item(), (values.mean() + 2 * error).item()
""",
            "returns the two ends of the band instead of mean and reach",
        ),
        Answer(
            """
def band(values):
    values = torch.tensor([value for value in values if value], dtype=torch.float64)
    error = values.std() / math.sqrt(len(values))
    return values.mean().item(), 2 * error.item()
""",
            "values of 0 are dropped as if they were missing",
        ),
    ],
    "q4": [
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([a - b for a, b in zip(ours, theirs, strict=True)])
    if abs(mean) <= reach:
        return "can't tell"
    return "better" if mean > 0 else "worse"
""",
            "a higher loss is taken for better",
        ),
        Answer(
            """
def verdict(ours, theirs):
    (mine, my_reach), (other, other_reach) = band(ours), band(theirs)
    if abs(mine - other) <= my_reach + other_reach:
        return "can't tell"
    return "better" if mine < other else "worse"
""",
            "looks at the two bands apart",
        ),
        Answer(
            """
def verdict(ours, theirs):
    (mine, my_reach), (other, other_reach) = band(ours), band(theirs)
    if abs(mine - other) <= math.hypot(my_reach, other_reach):
        return "can't tell"
    return "better" if mine < other else "worse"
""",
            "unpaired: the root of both squared bands",
        ),
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([a - b for a, b in zip(ours, theirs, strict=True)])
    if mean == 0:
        return "can't tell"
    return "better" if mean < 0 else "worse"
""",
            "forgotten step: the means decide",
        ),
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([a - b for a, b in zip(ours, theirs, strict=True)])
    if abs(mean) < reach:
        return "can't tell"
    return "better" if mean < 0 else "worse"
""",
            "off by one: a band that ends at 0 doesn't hold it",
        ),
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([abs(a - b) for a, b in zip(ours, theirs, strict=True)])
    if mean <= reach:
        return "can't tell"
    return "better" if sum(ours) < sum(theirs) else "worse"
""",
            "distances instead of differences",
        ),
        Answer(
            """
def verdict(ours, theirs):
    wins = sum(a < b for a, b in zip(ours, theirs, strict=True))
    if 2 * wins == len(ours):
        return "can't tell"
    return "better" if 2 * wins > len(ours) else "worse"
""",
            "counts documents instead of weighing them",
        ),
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([a - b for a, b in zip(ours, theirs, strict=True)])
    if mean < -reach:
        return "better"
    return "worse" if mean > 0 else "can't tell"
""",
            "half of the band: one side only",
        ),
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([a - b for a, b in zip(sorted(ours), sorted(theirs), strict=True)])
    if abs(mean) <= reach:
        return "can't tell"
    return "better" if mean < 0 else "worse"
""",
            "other pairs: sorts both first",
        ),
        Answer(
            """
def verdict(ours, theirs):
    mean, reach = band([a - b for a, b in zip(ours, theirs, strict=True)])
    if abs(mean) <= reach:
        return "can't tell"
    return "ours" if mean < 0 else "theirs"
""",
            "wrong words",
        ),
        Answer(
            """
def verdict(ours, theirs):
    apart = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
    mean, reach = apart.mean().item(), 2 * apart.std().item() / math.sqrt(len(apart))
    if abs(mean) <= reach:
        return "can't tell"
    return "better" if mean > 0 else "worse"
""",
            "takes the higher loss for the better one",
        ),
        Answer(
            """
def verdict(ours, theirs):
    a, b = torch.tensor(ours, dtype=torch.float64), torch.tensor(theirs, dtype=torch.float64)
    mean = (a.mean() - b.mean()).item()
    reach = 2 * math.sqrt((a.var().item() + b.var().item()) / len(a))
    if mean - reach <= 0 <= mean + reach:
        return "can't tell"
    return "better" if mean < 0 else "worse"
""",
            "not in pairs: the band is made of both models' own spreads",
        ),
        Answer(
            """
def verdict(ours, theirs):
    apart = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
    mean, reach = apart.mean(), 2 * apart.std() / len(apart) ** 0.5
    if abs(mean) < reach:
        return "can't tell"
    elif mean < 0:
        return "better"
    else:
        return "worse"
""",
            "two equal lists (difference 0, band 0) are called worse",
        ),
        Answer(
            """
def verdict(ours, theirs):
    apart = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
    mean, reach = apart.mean(), 2 * apart.std() / len(apart) ** 0.5
    if mean + reach < 0:
        return "better"
    if mean > 0:
        return "worse"
    return "can't tell"
""",
            "asks for the band only on the side of better; any positive mean is called worse",
        ),
        Answer(
            """
import statistics


def verdict(ours, theirs):
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, reach = statistics.fmean(apart), 2 * statistics.stdev(apart) / math.sqrt(len(apart))
    if reach == 0 or abs(mean) <= reach:
        return "can't tell"
    return "better" if mean < 0 else "worse"
""",
            "no spread is taken for no knowledge, though every document differs by the same amount",
        ),
        Answer(
            """
import statistics


def verdict(ours, theirs):
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, reach = statistics.fmean(apart), 2 * statistics.stdev(apart) / math.sqrt(len(apart))
    if abs(mean) <= max(reach, 0.01):
        return "can't tell"
    return "better" if mean < 0 else "worse"
""",
            "a small difference is called undecided although its band doesn't hold 0",
        ),
    ],
    "q5": [
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), " ".join(source.split())
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if " ".join(words[start:end]) in known:
                longest = max(longest, end - start)
    return longest
""",
            "parts of words count, too",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.lower().split(), f" {' '.join(source.lower().split())} "
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if f" {' '.join(words[start:end])} " in known:
                longest = max(longest, end - start)
    return longest
""",
            "ignores case",
        ),
        Answer(
            r"""
def longest_copy(written, source):
    import re

    words, known = re.findall(r"\w+", written), " " + " ".join(re.findall(r"\w+", source)) + " "
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if f" {' '.join(words[start:end])} " in known:
                longest = max(longest, end - start)
    return longest
""",
            "ignores punctuation",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {source} "
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if f" {' '.join(words[start:end])} " in known:
                longest = max(longest, end - start)
    return longest
""",
            "line ends of the source count",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words)):
            if f" {' '.join(words[start:end])} " in known:
                longest = max(longest, end - start)
    return longest
""",
            "off by one: never up to the last word",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    for end in range(1, len(words) + 1):
        if f" {' '.join(words[:end])} " in known:
            longest = end
    return longest
""",
            "only runs from the first word on",
        ),
        Answer(
            """
def longest_copy(written, source):
    return len(set(written.split()) & set(source.split()))
""",
            "words in common, not a run",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            run = " ".join(words[start:end])
            if f" {run} " in known:
                longest = max(longest, len(run))
    return longest
""",
            "characters instead of words",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    for start in range(len(words)):
        end = start + 1
        while end <= len(words) and f" {' '.join(words[start:end])} " in known:
            longest = end - start
            end += 1
    return longest
""",
            "the last run, not the longest",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    for start in range(len(words)):
        for length in range(1, 9):
            run = words[start : start + length]
            if len(run) == length and f" {' '.join(run)} " in known:
                longest = max(longest, length)
    return longest
""",
            "phrases of at most eight words",
        ),
        Answer(
            """
def longest_copy(written, source):
    mine, theirs = written.split(), source.split()
    row = [0] * (len(theirs) + 1)
    for word in mine:
        before = row[:]
        for j, other in enumerate(theirs):
            row[j + 1] = before[j] + 1 if word == other else max(row[j], before[j + 1])
    return row[-1]
""",
            "jumps over gaps: the longest common row, not run",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), " ".join(source.split())
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if " ".join(words[start:end]) in known:
                longest = max(longest, end - start)
    return longest
""",
            "no spaces around: parts of words count as words",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    start = 0
    while start < len(words):
        end = start
        while end < len(words) and f" {' '.join(words[start:end + 1])} " in known:
            end += 1
        longest = max(longest, end - start)
        start = max(end, start + 1)
    return longest
""",
            "after a run it goes on behind it, so a longer run that begins inside is missed",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {source} "
    longest = 0
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if f" {' '.join(words[start:end])} " in known:
                longest = max(longest, end - start)
    return longest
""",
            "searches the source as it is: line ends and double spaces in it break runs",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), set(source.split())
    longest = run = 0
    for word in words:
        run = run + 1 if word in known else 0
        longest = max(longest, run)
    return longest
""",
            "each word must stand somewhere in the source, in no order",
        ),
        Answer(
            """
from difflib import SequenceMatcher


def longest_copy(written, source):
    words, known = written.split(), source.split()
    longest = SequenceMatcher(None, words, known).find_longest_match(0, len(words), 0, len(known)).size
    return longest
""",
            "difflib with its automatic junk: in a long source frequent words are not looked up",
        ),
    ],
    "q6": [
        Answer(
            """
def mark(questions):
    right = [max(range(len(answers)), key=lambda i: sum(answers[i])) == number for answers, number in questions]
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "the sum: long answers lose",
        ),
        Answer(
            """
def mark(questions):
    right = [
        min(range(len(answers)), key=lambda i: sum(answers[i]) / len(answers[i])) == number
        for answers, number in questions
    ]
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "the least likely answer",
        ),
        Answer(
            """
def mark(questions):
    right = [
        max(range(len(answers)), key=lambda i: sum(answers[i]) / len(answers[i])) + 1 == number
        for answers, number in questions
    ]
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "counts answers from 1",
        ),
        Answer(
            """
def mark(questions):
    right = [
        max(range(len(answers)), key=lambda i: sum(answers[i]) / len(answers[i])) == number
        for answers, number in questions
    ]
    p = sum(right) / len(right)
    return p, math.sqrt(p * (1 - p) / len(right))
""",
            "one standard error",
        ),
        Answer(
            """
def mark(questions):
    right = [
        max(range(len(answers)), key=lambda i: sum(answers[i]) / len(answers[i])) == number
        for answers, number in questions
    ]
    p = sum(right) / len(right)
    return sum(right), 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "a count instead of a share",
        ),
        Answer(
            """
def mark(questions):
    right = [max(range(len(answers)), key=lambda i: answers[i][0]) == number for answers, number in questions]
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "the first token decides",
        ),
        Answer(
            """
def mark(questions):
    right = [
        max(range(len(answers)), key=lambda i: sum(answers[i]) / len(answers[i])) == number
        for answers, number in questions
    ]
    p = sum(right) / len(right)
    return p, 2 * p * (1 - p) / len(right)
""",
            "forgets the root",
        ),
        Answer(
            """
def mark(questions):
    right = [
        max(range(len(answers)), key=lambda i: sum(answers[i]) / len(answers[i])) == number
        for answers, number in questions
    ]
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p))
""",
            "the spread without the number of questions",
        ),
        Answer(
            """
def mark(questions):
    right = []
    for answers, number in questions:
        means = [sum(math.exp(chance) for chance in answer) / len(answer) for answer in answers]
        right.append(means.index(max(means)) == number)
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "a mean of probabilities, not of their logs",
        ),
        Answer(
            """
def mark(questions):
    right = []
    for answers, number in questions:
        longest = max(map(len, answers))
        means = [sum(answer) / longest for answer in answers]
        right.append(means.index(max(means)) == number)
    p = sum(right) / len(right)
    return p, 2 * math.sqrt(p * (1 - p) / len(right))
""",
            "divides by the longest answer for all",
        ),
        Answer(
            """
def mark(questions):
    hits = 0
    for answers, right in questions:
        means = [sum(math.exp(chance) for chance in answer) / len(answer) for answer in answers]
        hits += means.index(max(means)) == right
    n = len(questions)
    p = hits / n
    return p, 2 * math.sqrt(p * (1 - p) / n)
""",
            "mean of the probabilities instead of the log-probabilities",
        ),
        Answer(
            """
def mark(questions):
    n = len(questions)
    hits = sum(max(range(len(answers)), key=lambda i: answers[i]) == right for answers, right in questions)
    p = hits / n
    return p, 2 * (p * (1 - p) / n) ** 0.5
""",
            "compares the lists as they are, so only the first token decides",
        ),
        Answer(
            """
def mark(questions):
    hits = []
    for answers, right in questions:
        means = [sum(answer) / len(answer) for answer in answers]
        hits.append(means.index(max(means)) == right)
    n = len(hits)
    p = sum(hits) / n
    return p, 2 * math.sqrt(p * (1 - p) / max(n - 1, 1))
""",
            "the band divides by one question less",
        ),
        Answer(
            """
def mark(questions):
    hits = 0
    for answers, right in questions:
        best, choice = -10.0, None
        for number, answer in enumerate(answers):
            mean = sum(answer) / len(answer)
            if mean > best:
                best, choice = mean, number
        if choice == right:
            hits += 1
    p = hits / len(questions)
    return p, 2 * math.sqrt(p * (1 - p) / len(questions))
""",
            "the best so far begins at -10: if all answers are less likely none is chosen",
        ),
        Answer(
            """
def mark(questions):
    hits = 0
    for answers, right in questions:
        means = [sum(answer) / len(answer) for answer in answers[:4]]
        hits += means.index(max(means)) == right
    n = len(questions)
    p = hits / n
    return p, 2 * math.sqrt(p * (1 - p) / n)
""",
            "looks only at the first four answers, as in the lesson",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    size = sum(len(character.encode()) for character in text)
    return math.log2(math.e) * loss * (tokens / size)
""",
            "by the log of e to the base 2",
        ),
        Answer(
            """
def bits_per_byte(loss, tokens, text):
    size = 0
    for letter in text:
        point = ord(letter)
        size += 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
    return loss * math.log2(math.e) * tokens / size
""",
            "counts UTF-8 bytes from code points, log2(e) as the factor",
        ),
        Answer(
            """
import numpy


def bits_per_byte(loss, tokens, text):
    pieces = numpy.frombuffer(text.encode(), dtype=numpy.uint8)
    bits_per_token = loss / float(numpy.log(2.0))
    return bits_per_token * (tokens / pieces.size)
""",
            "bits of a token times tokens for each byte, bytes as a numpy array",
        ),
    ],
    "q2": [
        Answer(
            """
def pool(scores):
    losses = [loss for loss, tokens in scores for _ in range(tokens)]
    return math.exp(math.fsum(losses) / len(losses))
""",
            "token by token",
        ),
        Answer(
            """
def pool(scores):
    losses, tokens = torch.tensor(scores, dtype=torch.float64).T
    return float((losses @ tokens / tokens.sum()).exp())
""",
            "PyTorch's weighted mean",
        ),
        Answer(
            """
import numpy


def pool(scores):
    losses, counts = zip(*scores)
    return float(numpy.exp(numpy.average(losses, weights=counts)))
""",
            "numpy's weighted average",
        ),
        Answer(
            """
def pool(scores):
    mean, seen = 0.0, 0
    for loss, tokens in scores:
        if tokens == 0:
            continue
        seen += tokens
        mean += (loss - mean) * tokens / seen
    return math.e**mean
""",
            "running weighted mean in one pass",
        ),
    ],
    "q3": [
        Answer(
            """
def band(values):
    import statistics

    return statistics.fmean(values), 2 * statistics.stdev(values) / math.sqrt(len(values))
""",
            "the standard library",
        ),
        Answer(
            """
def band(values):
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    return mean, math.sqrt(4 * variance / n)
""",
            "by hand",
        ),
        Answer(
            """
def band(values):
    count, mean, squares = 0, 0.0, 0.0
    for value in values:
        count += 1
        step = value - mean
        mean += step / count
        squares += step * (value - mean)
    return mean, 2 * math.sqrt(squares / (count - 1) / count)
""",
            "Welford's one pass",
        ),
        Answer(
            """
import statistics


def band(values):
    numbers = [float(value) for value in values]
    spread = statistics.pstdev(numbers)
    return statistics.fmean(numbers), 2 * spread / math.sqrt(len(numbers) - 1)
""",
            "population spread by the root of n - 1, which is the same standard error",
        ),
    ],
    "q4": [
        Answer(
            """
def verdict(ours, theirs):
    gain, reach = band([b - a for a, b in zip(ours, theirs)])
    if gain - reach > 0:
        return "better"
    if gain + reach < 0:
        return "worse"
    return "can't tell"
""",
            "the two ends of the band",
        ),
        Answer(
            """
from fractions import Fraction


def verdict(ours, theirs):
    apart = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(ours, theirs)]
    n, total = len(apart), sum(apart)
    mean = total / n
    variance = sum((one - mean) ** 2 for one in apart) / (n - 1)
    if mean * mean * n <= 4 * variance:
        return "can't tell"
    return "better" if total < 0 else "worse"
""",
            "exact fractions, squares compared so that no root is needed",
        ),
        Answer(
            """
import statistics


def verdict(ours, theirs):
    gain = [b - a for a, b in zip(ours, theirs)]
    middle = statistics.fmean(gain)
    reach = 2 * statistics.stdev(gain) / len(gain) ** 0.5
    low, high = middle - reach, middle + reach
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "can't tell"
""",
            "gains instead of losses, both ends of the band looked at",
        ),
    ],
    "q5": [
        Answer(
            """
def longest_copy(written, source):
    theirs, longest = source.split(), 0
    ends = [0] * (len(theirs) + 1)
    for word in written.split():
        ends = [0] + [ends[j] + 1 if word == other else 0 for j, other in enumerate(theirs)]
        longest = max(longest, max(ends))
    return longest
""",
            "a table of runs that end at each pair of words",
        ),
        Answer(
            """
def longest_copy(written, source):
    from difflib import SequenceMatcher

    return SequenceMatcher(None, written.split(), source.split(), autojunk=False).find_longest_match().size
""",
            "the standard library, without its guess at junk",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), f" {' '.join(source.split())} "
    longest = 0
    for end in range(1, len(words) + 1):
        while longest < end and f" {' '.join(words[end - longest - 1 : end])} " in known:
            longest += 1
    return longest
""",
            "grows a window as long as it can",
        ),
        Answer(
            """
from difflib import SequenceMatcher


def longest_copy(written, source):
    words, known = written.split(), source.split()
    matcher = SequenceMatcher(None, words, known, autojunk=False)
    return matcher.find_longest_match(0, len(words), 0, len(known)).size
""",
            "difflib on lists of words",
        ),
        Answer(
            """
def longest_copy(written, source):
    words, known = written.split(), source.split()

    def runs(row, length):
        return {tuple(row[i : i + length]) for i in range(len(row) - length + 1)}

    low, high = 0, min(len(words), len(known))
    while low < high:
        middle = (low + high + 1) // 2
        if runs(words, middle) & runs(known, middle):
            low = middle
        else:
            high = middle - 1
    return low
""",
            "binary search for the length, with sets of runs",
        ),
    ],
    "q6": [
        Answer(
            """
def mark(questions):
    from statistics import fmean

    n, hits = len(questions), 0
    for answers, number in questions:
        means = [fmean(answer) for answer in answers]
        hits += means.index(max(means)) == number
    return hits / n, 2 * (hits * (n - hits) / n**3) ** 0.5
""",
            "the standard library's mean, and half a band doubled",
        ),
        Answer(
            """
def mark(questions):
    means = [[torch.tensor(answer).double().mean() for answer in answers] for answers, _ in questions]
    chosen = [int(torch.stack(row).argmax()) for row in means]
    right = torch.tensor([choice == number for choice, (_, number) in zip(chosen, questions)], dtype=torch.float64)
    p = right.mean()
    return p.item(), (2 * (p * (1 - p) / len(right)).sqrt()).item()
""",
            "PyTorch's argmax",
        ),
        Answer(
            """
import numpy


def mark(questions):
    hits = numpy.array([
        int(numpy.argmax([numpy.mean(answer) for answer in answers])) == right for answers, right in questions
    ])
    n, good = len(hits), int(hits.sum())
    return good / n, 2 * math.sqrt(good * (n - good) / n**3)
""",
            "numpy's argmax of means; the band from whole counts",
        ),
        Answer(
            """
def mark(questions):
    wrong = 0
    for answers, right in questions:
        choice = 0
        for other in range(1, len(answers)):
            a, b = answers[other], answers[choice]
            if sum(a) * len(b) > sum(b) * len(a):
                choice = other
        wrong += choice != right
    q = wrong / len(questions)
    return 1 - q, 2 * ((1 - q) * q / len(questions)) ** 0.5
""",
            "means compared by multiplying crosswise; counts the wrong ones",
        ),
    ],
}
