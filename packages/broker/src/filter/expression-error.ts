/** An expression that is none, and where it stops being one. */
export class ExpressionError extends Error {
  readonly code = 'BAD_EXPRESSION'
  /** Index of the character, from 0. */
  readonly at: number

  constructor(what: string, at: number) {
    super(`${what}, at character ${at + 1}`)
    this.name = 'ExpressionError'
    this.at = at
  }
}
