/**
 * Expressions, each compiled once: consumers repeat theirs with every heartbeat.
 *
 * Keeps: at most KEPT_MAX of them and CHARS_MAX of text, oldest dropped first; one that is dropped is compiled again.
 */
import { ExpressionError } from './expression-error.ts'
import { Sql92 } from './sql92.ts'

const EXPRESSION_SQL92 = 'SQL92'
const KEPT_MAX = 1_000
const CHARS_MAX = 4_000_000

export class CompiledExpressions {
  readonly #kept = new Map<string, Sql92 | ExpressionError>()
  #chars = 0

  get size(): number {
    return this.#kept.size
  }

  /** @returns the compiled expression, or what is wrong with it. */
  compiled(type: string, source: string): Sql92 | ExpressionError {
    if (type !== EXPRESSION_SQL92) return new ExpressionError(`${JSON.stringify(type)} is no type of expression`, 0)
    const known = this.#kept.get(source)
    if (known !== undefined) return known
    const made = compile(source)
    this.#kept.set(source, made)
    this.#chars += source.length
    while (this.#kept.size > KEPT_MAX || this.#chars > CHARS_MAX) this.#dropOldest()
    return made
  }

  #dropOldest(): void {
    for (const source of this.#kept.keys()) {
      this.#kept.delete(source)
      this.#chars -= source.length
      return
    }
  }
}

function compile(source: string): Sql92 | ExpressionError {
  try {
    return new Sql92(source)
  } catch (error) {
    if (error instanceof ExpressionError) return error
    throw error
  }
}
