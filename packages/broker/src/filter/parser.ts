/**
 * The grammar of SQL92 expressions, and what of it is refused before any message is seen:
 *
 *   or         := and (OR and)*
 *   and        := equality (AND equality)*
 *   equality   := comparison ( (= | <>) comparison | IS [NOT] NULL )*
 *   comparison := unary ( (> | >= | < | <=) unary
 *                       | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text
 *                       | [NOT] BETWEEN unary AND unary
 *                       | [NOT] IN ( text, … ) )*
 *   unary      := (+ | - | NOT) unary | number | text | TRUE | FALSE | NULL | name | ( or )
 *
 * Words that the grammar cannot go on with end the expression, and what follows is ignored, as Apache's parser does.
 *
 * Keeps: an expression is bounded in length, depth and comparisons, so neither compiling nor evaluating it takes long or overflows
 * a stack.
 *
 * Source: SelectorParser.jj, ComparisonExpression, ConstantExpression.
 */
import { ExpressionError } from './expression-error.ts'
import { parseInt64 } from './java-numbers.ts'
import { Lexer, type Token } from './lexer.ts'
import * as nodes from './nodes.ts'
import type { LogicalNode, Node, Order, TextTest } from './nodes.ts'
import { compareNumbers, Int32, isNumeric } from './values.ts'

/** Characters of an expression. Apache: as many as a frame holds. */
export const EXPRESSION_CHARS_MAX = 65_536
/** Parts within parts. Apache: until its stack overflows, which it answers as a bad expression. */
export const EXPRESSION_DEPTH_MAX = 256
/** Comparisons and tests: each may cost one look at a property of 32 KiB. */
export const EXPRESSION_TESTS_MAX = 1_024

const INT32_MAX = 0x7fff_ffffn
/** Java's Double.MIN_VALUE. Apache takes no constant below it: neither 0.0. */
const DOUBLE_MIN = 5e-324

const ORDERS: ReadonlySet<string> = new Set<Order>(['<', '<=', '>', '>='])
const TEXT_TESTS: ReadonlySet<string> = new Set<TextTest>(['CONTAINS', 'STARTSWITH', 'ENDSWITH'])

export interface ParsedExpression {
  readonly root: LogicalNode
  /** How often a property is named. */
  readonly names: number
}

/** A whole expression. @throws ExpressionError */
export function parseExpression(source: string): ParsedExpression {
  if (source.length > EXPRESSION_CHARS_MAX) {
    throw new ExpressionError(`an expression has at most ${EXPRESSION_CHARS_MAX} characters`, EXPRESSION_CHARS_MAX)
  }
  return new Parser(source).whole()
}

class Parser {
  readonly #lexer: Lexer
  #read: Token | null = null
  #depth = 0
  #tests = 0
  #names = 0

  constructor(source: string) {
    this.#lexer = new Lexer(source)
  }

  whole(): ParsedExpression {
    return { root: this.#logical(this.#or()), names: this.#names }
  }

  #or(): Node {
    const first = this.#and()
    if (!this.#isKeyword('OR')) return first
    const operands = [this.#logical(first)]
    while (this.#takeKeyword('OR')) operands.push(this.#logical(this.#and()))
    return nodes.chain(true, operands)
  }

  #and(): Node {
    const first = this.#equality()
    if (!this.#isKeyword('AND')) return first
    const operands = [this.#logical(first)]
    while (this.#takeKeyword('AND')) operands.push(this.#logical(this.#equality()))
    return nodes.chain(false, operands)
  }

  #equality(): Node {
    let left = this.#comparison()
    for (;;) {
      if (this.#takeSymbol('=')) left = this.#test(this.#equal(left))
      else if (this.#takeSymbol('<>')) left = this.#test(nodes.not(this.#equal(left)))
      else if (this.#takeKeyword('IS')) {
        const isNegated = this.#takeKeyword('NOT')
        this.#expectKeyword('NULL')
        const isNull = nodes.equal(left, nodes.truth(null))
        left = this.#test(isNegated ? nodes.not(isNull) : isNull)
      } else return left
    }
  }

  #equal(left: Node): LogicalNode {
    const right = this.#comparison()
    const isConstant = (node: Node) => node.kind === 'constant' || node.kind === 'truth'
    if ((left.kind === 'truth' && left.value === null) || (right.kind === 'truth' && right.value === null)) {
      throw this.#wrong('NULL cannot be compared; use IS NULL')
    }
    if (left.kind === 'truth' && isConstant(right) && right.kind !== 'truth') {
      throw this.#wrong('TRUE and FALSE compare with no other constant')
    }
    return nodes.equal(left, right)
  }

  #comparison(): Node {
    let left = this.#unary()
    for (;;) {
      const { kind, text } = this.#peek()
      if (kind === 'symbol' && ORDERS.has(text)) {
        this.#take()
        left = this.#test(this.#ordered(left, text as Order, this.#unary()))
      } else if (
        kind === 'keyword' &&
        (text === 'NOT' || text === 'BETWEEN' || text === 'IN' || TEXT_TESTS.has(text))
      ) {
        const isWanted = !this.#takeKeyword('NOT')
        left = this.#test(this.#keywordTest(left, isWanted))
      } else return left
    }
  }

  #keywordTest(left: Node, isWanted: boolean): LogicalNode {
    const token = this.#take()
    if (token.kind === 'keyword') {
      if (TEXT_TESTS.has(token.text)) {
        return nodes.textTest(left, token.text as TextTest, this.#expectString(), isWanted)
      }
      if (token.text === 'BETWEEN') return this.#between(left, isWanted)
      if (token.text === 'IN') return this.#in(left, isWanted)
    }
    throw unexpected(token, 'CONTAINS, STARTSWITH, ENDSWITH, BETWEEN or IN')
  }

  #between(left: Node, isWanted: boolean): LogicalNode {
    const low = this.#unary()
    this.#expectKeyword('AND')
    const high = this.#unary()
    if (!isWanted) return nodes.chain(true, [this.#ordered(left, '<', low), this.#ordered(left, '>', high)])
    if (low.kind === 'constant' && high.kind === 'constant' && isNumeric(low.value) && isNumeric(high.value)) {
      if (compareNumbers(high.value, low.value) < 0) throw this.#wrong('BETWEEN has its larger value first')
    }
    return nodes.chain(false, [this.#ordered(left, '>=', low), this.#ordered(left, '<=', high)])
  }

  #in(left: Node, isWanted: boolean): LogicalNode {
    this.#expectSymbol('(')
    const texts = [this.#expectString()]
    while (this.#takeSymbol(',')) texts.push(this.#expectString())
    this.#expectSymbol(')')
    if (left.kind !== 'property') throw this.#wrong('IN stands behind a property only')
    return nodes.isIn(left, texts, isWanted)
  }

  #ordered(left: Node, order: Order, right: Node): LogicalNode {
    for (const operand of [left, right]) {
      const isOrdered =
        operand.kind === 'property' ||
        operand.kind === 'negated' ||
        (operand.kind === 'constant' && isNumeric(operand.value))
      if (!isOrdered) throw this.#wrong(`only numbers and properties compare by ${order}`)
    }
    return nodes.ordered(left, order, right)
  }

  #unary(): Node {
    this.#depth++
    if (this.#depth > EXPRESSION_DEPTH_MAX) throw this.#tooDeep()
    const node = this.#unaryInside()
    this.#depth--
    return node
  }

  #unaryInside(): Node {
    const token = this.#take()
    if (token.kind === 'string') return nodes.constant(token.text)
    if (token.kind === 'name') return this.#property(token.text)
    if (token.kind === 'integer') return integer(token)
    if (token.kind === 'decimal') return decimal(token)
    const { text } = token
    if (token.kind === 'keyword') {
      if (text === 'NOT') return this.#bounded(nodes.not(this.#logical(this.#unary())))
      if (text === 'TRUE' || text === 'FALSE') return nodes.truth(text === 'TRUE')
      if (text === 'NULL') return nodes.truth(null)
    }
    if (token.kind === 'symbol') {
      if (text === '+') return this.#unary()
      if (text === '-') return this.#bounded(nodes.negate(this.#unary()))
      if (text === '(') {
        const inside = this.#or()
        this.#expectSymbol(')')
        return inside
      }
    }
    throw unexpected(token, 'a value')
  }

  #property(name: string): Node {
    this.#names++
    return nodes.property(name)
  }

  /** What stands where something true or false must. */
  #logical(node: Node): LogicalNode {
    if (node.kind === 'truth' || node.kind === 'condition') return node
    if (node.kind === 'property') return nodes.ofProperty(node)
    throw this.#wrong('a value stands where something true or false must')
  }

  #test(node: LogicalNode): LogicalNode {
    if (++this.#tests > EXPRESSION_TESTS_MAX) {
      throw this.#wrong(`an expression has at most ${EXPRESSION_TESTS_MAX} comparisons`)
    }
    return this.#bounded(node)
  }

  #bounded<Kind extends Node>(node: Kind): Kind {
    if (node.depth > EXPRESSION_DEPTH_MAX) throw this.#tooDeep()
    return node
  }

  #tooDeep(): ExpressionError {
    return this.#wrong(`an expression is at most ${EXPRESSION_DEPTH_MAX} parts deep`)
  }

  #wrong(what: string): ExpressionError {
    return new ExpressionError(what, this.#peek().at)
  }

  // ------------------------------------------------------------------------------------------------ words

  #peek(): Token {
    this.#read ??= this.#lexer.next()
    return this.#read
  }

  #take(): Token {
    const token = this.#peek()
    this.#read = null
    return token
  }

  #isKeyword(keyword: string): boolean {
    const { kind, text } = this.#peek()
    return kind === 'keyword' && text === keyword
  }

  #takeKeyword(keyword: string): boolean {
    if (!this.#isKeyword(keyword)) return false
    this.#read = null
    return true
  }

  #takeSymbol(symbol: string): boolean {
    const { kind, text } = this.#peek()
    if (kind !== 'symbol' || text !== symbol) return false
    this.#read = null
    return true
  }

  #expectKeyword(keyword: string): void {
    if (!this.#takeKeyword(keyword)) throw unexpected(this.#peek(), keyword)
  }

  #expectSymbol(symbol: string): void {
    if (!this.#takeSymbol(symbol)) throw unexpected(this.#peek(), symbol)
  }

  #expectString(): string {
    const token = this.#take()
    if (token.kind !== 'string') throw unexpected(token, 'a text in quotes')
    return token.text
  }
}

function integer(token: Token): Node {
  const value = parseInt64(/[lL]$/.test(token.text) ? token.text.slice(0, -1) : token.text)
  if (value === undefined) throw new ExpressionError(`${token.text} is beyond 64 bits`, token.at)
  return nodes.constant(value <= INT32_MAX ? new Int32(Number(value)) : value)
}

function decimal(token: Token): Node {
  const value = Number(token.text)
  if (!(value >= DOUBLE_MIN && value <= Number.MAX_VALUE)) {
    throw new ExpressionError(`${token.text} is not from ${DOUBLE_MIN} to ${Number.MAX_VALUE}`, token.at)
  }
  return nodes.constant(value)
}

function unexpected(token: Token, wanted: string): ExpressionError {
  const found = token.kind === 'end' ? 'the end' : JSON.stringify(token.text)
  return new ExpressionError(`${wanted} is wanted, not ${found}`, token.at)
}
