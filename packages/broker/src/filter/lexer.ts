/**
 * The words of an SQL92 expression, one after another as they are asked for: what follows the last one that the grammar looks at is
 * never read, as with Apache's parser, and so may be anything.
 *
 * Source: SelectorParser.jj.
 */
import { ExpressionError } from './expression-error.ts'

export type TokenKind = 'keyword' | 'symbol' | 'integer' | 'decimal' | 'string' | 'name' | 'end'

export interface Token {
  readonly kind: TokenKind
  /** Keywords in capitals; a string without its quotes. */
  readonly text: string
  readonly at: number
}

const KEYWORDS: ReadonlySet<string> = new Set([
  'NOT',
  'AND',
  'OR',
  'BETWEEN',
  'IN',
  'TRUE',
  'FALSE',
  'NULL',
  'IS',
  'CONTAINS',
  'STARTSWITH',
  'ENDSWITH',
])

/** What is passed over. A line comment ends with its line: without an end it is none. */
const SPACE = /(?:[ \t\n\r\f]+|--[^\n\r]*(?:\r\n|\n|\r)|\/\*[^*]*\*(?:\*|[^*/][^*]*\*)*\/)*/y
const DECIMAL = /(?:[0-9]+\.[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)/y
const INTEGER = /(?:0|[1-9][0-9]*[lL]?)/y
const STRING = /'(?:''|[^'])*'/y
const NAME = /[A-Za-z_$][A-Za-z0-9_$]*/y
const SYMBOL = /(?:<>|>=|<=|[=<>(),+-])/y

export class Lexer {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  /** @throws ExpressionError at a character that begins no word. */
  next(): Token {
    this.#match(SPACE)
    const at = this.#at
    if (at === this.#source.length) return { kind: 'end', text: '', at }
    const decimal = this.#match(DECIMAL)
    if (decimal !== undefined) return { kind: 'decimal', text: decimal, at }
    const integer = this.#match(INTEGER)
    if (integer !== undefined) return { kind: 'integer', text: integer, at }
    const name = this.#match(NAME)
    if (name !== undefined) {
      const keyword = name.toUpperCase()
      return KEYWORDS.has(keyword) ? { kind: 'keyword', text: keyword, at } : { kind: 'name', text: name, at }
    }
    const symbol = this.#match(SYMBOL)
    if (symbol !== undefined) return { kind: 'symbol', text: symbol, at }
    const string = this.#match(STRING)
    if (string !== undefined) return { kind: 'string', text: string.slice(1, -1).replaceAll("''", "'"), at }
    throw new ExpressionError(`no word begins with ${JSON.stringify(this.#source.charAt(at))}`, at)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }
}
