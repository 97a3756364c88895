/**
 * SQL92 expressions over the properties of messages, compiled once and evaluated for each message.
 *
 * Keeps: evaluating never throws: what cannot be evaluated does not match.
 *
 * Source: SqlFilter, ExpressionMessageFilter; the semantics are those of Apache's filter module, which the interop suite compares.
 */
import { decodeProperties, getProperty, recordProperties } from '@dledger-ts/protocol'
import type { Properties } from './nodes.ts'
import { parseExpression } from './parser.ts'
import { NOT_EVALUABLE } from './values.ts'

/** From so many tests on, the properties are taken apart once instead of being searched for each. */
const SEARCHES_MAX = 4

/** What an expression says: null is unknown, 'error' that it cannot be evaluated. */
export type Outcome = boolean | null | 'error'

export class Sql92 {
  readonly source: string
  readonly #evaluate: (properties: Properties) => boolean | null
  readonly #searches: boolean

  /** @throws ExpressionError */
  constructor(source: string) {
    const { root, names } = parseExpression(source)
    this.source = source
    this.#evaluate = root.evaluate
    this.#searches = names <= SEARCHES_MAX
  }

  // Hot: runs for each message that a filtered read examines.
  /** Whether a message is wanted, by its record. */
  readonly matches = (record: Buffer): boolean => this.evaluate(recordProperties(record)) === true

  /** The same by its property block. */
  evaluate(block: string): Outcome {
    try {
      return this.#evaluate(this.#searches ? new Block(block) : decodeProperties(block))
    } catch (error) {
      if (error !== NOT_EVALUABLE) throw error
      return 'error'
    }
  }
}

class Block implements Properties {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  get(name: string): string | undefined {
    return getProperty(this.#text, name)
  }
}
