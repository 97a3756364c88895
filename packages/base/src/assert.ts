/**
 * Assertions that stay on in production: an invariant that fails is a bug, and going on would be worse than stopping.
 *
 * The message is a constant string that states the invariant; a template would cost more than the check.
 */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** @throws AssertionError with the invariant as its message when `condition` is false. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant)
}

/** Ends a `switch` over a union: does not compile while a case is missing. */
export function unreachable(value: never, invariant: string): never {
  throw new AssertionError(`${invariant}: ${String(value)}`)
}
