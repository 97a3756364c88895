/** Tells each of them, also when telling one throws; the first error is thrown when all have been told. */
export function tellEach<Waiting>(all: Iterable<Waiting>, tell: (one: Waiting) => void): void {
  const errors: unknown[] = []
  for (const one of all) {
    try {
      tell(one)
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
