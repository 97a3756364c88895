/**
 * What the parts of an expression are worth, and how two of them compare: Java's types and Apache's conversions between them.
 *
 * Source: ComparisonExpression.
 */
import { compareDoubles, parseDouble, parseInt32, parseInt64 } from './java-numbers.ts'

/** An Integer. A Long is a bigint, a Double a number. */
export class Int32 {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

export type Numeric = Int32 | bigint | number
/** null is unknown: a property that a message does not have. */
export type Value = string | boolean | Numeric | null
export type Known = Exclude<Value, null>

/** What an expression says of a message when it cannot say anything: the message does not match, whatever else the expression says. */
export const NOT_EVALUABLE = new Error('the expression cannot be evaluated for this message')

export function isNumeric(value: Value): value is Numeric {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof Int32
}

export function negated(value: Numeric): Numeric {
  if (value instanceof Int32) return new Int32(0 - value.value)
  return -value
}

/**
 * @returns less than 0, 0 or more than 0; -1 for what does not compare.
 * @throws NOT_EVALUABLE where a text stands for no number of the type that it is compared with.
 */
export function compare(left: Known, right: Known): number {
  if (typeof left === 'string') {
    return typeof right === 'string' ? sign(left, right) : compareSame(converted(left, right), right)
  }
  if (typeof right === 'string') {
    // Apache casts the boolean to a text, and fails.
    if (typeof left === 'boolean') throw NOT_EVALUABLE
    return compareSame(left, converted(right, left))
  }
  if (typeof left === 'boolean' || typeof right === 'boolean') {
    return typeof left === typeof right ? sign(Number(left), Number(right)) : -1
  }
  return compareNumbers(left, right)
}

/** How `<`, `>` and their like compare two texts: as doubles. @throws NOT_EVALUABLE where one is none. */
export function compareTextsAsDoubles(left: string, right: string): number {
  const leftValue = parseDouble(left)
  if (leftValue === undefined) throw NOT_EVALUABLE
  const rightValue = parseDouble(right)
  if (rightValue === undefined) throw NOT_EVALUABLE
  return compareDoubles(leftValue, rightValue)
}

export function compareNumbers(left: Numeric, right: Numeric): number {
  if (typeof left === 'number' || typeof right === 'number') return compareDoubles(asDouble(left), asDouble(right))
  if (left instanceof Int32 && right instanceof Int32) return sign(left.value, right.value)
  return sign(asLong(left), asLong(right))
}

/** A text as a value of the other's type. */
function converted(text: string, other: Exclude<Known, string>): Exclude<Known, string> {
  if (typeof other === 'boolean') return text.toLowerCase() === 'true'
  if (other instanceof Int32) {
    const value = parseInt32(text)
    if (value === undefined) throw NOT_EVALUABLE
    return new Int32(value)
  }
  const value = typeof other === 'bigint' ? parseInt64(text) : parseDouble(text)
  if (value === undefined) throw NOT_EVALUABLE
  return value
}

function compareSame(left: Exclude<Known, string>, right: Exclude<Known, string>): number {
  if (typeof left === 'boolean' || typeof right === 'boolean') return sign(Number(left), Number(right))
  return compareNumbers(left, right)
}

function sign<Comparable extends string | number | bigint>(left: Comparable, right: Comparable): number {
  return left < right ? -1 : left > right ? 1 : 0
}

function asDouble(value: Numeric): number {
  return Number(value instanceof Int32 ? value.value : value)
}

function asLong(value: Exclude<Numeric, number>): bigint {
  return value instanceof Int32 ? BigInt(value.value) : value
}
