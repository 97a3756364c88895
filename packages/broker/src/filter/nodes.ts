/**
 * The parts of a compiled expression: what each is, and how it is evaluated. Three values of logic: true, false, and null for unknown.
 *
 * Keeps: no part is deeper than the grammar allowed, for chains of AND and OR are one part each: evaluating overflows no stack.
 *
 * Source: LogicExpression, ComparisonExpression, UnaryExpression.
 */
import { compare, compareTextsAsDoubles, type Int32, isNumeric, type Known, negated, type Value } from './values.ts'

/** The properties of one message. */
export interface Properties {
  get(name: string): string | undefined
}

export type Logical = boolean | null
type Evaluate<Result extends Value> = (properties: Properties) => Result

interface NodeBase<Result extends Value> {
  readonly evaluate: Evaluate<Result>
  /** Parts on the longest way down, this one included. */
  readonly depth: number
}

export interface ConstantNode extends NodeBase<Value> {
  readonly kind: 'constant'
  readonly value: string | Int32 | bigint | number
}

export interface PropertyNode extends NodeBase<Value> {
  readonly kind: 'property'
  readonly name: string
}

/** A minus sign before anything. */
export interface NegatedNode extends NodeBase<Value> {
  readonly kind: 'negated'
}

/** TRUE, FALSE and NULL. */
export interface TruthNode extends NodeBase<Logical> {
  readonly kind: 'truth'
  readonly value: Logical
}

/** What is true or false of a message. */
export interface ConditionNode extends NodeBase<Logical> {
  readonly kind: 'condition'
}

export type LogicalNode = TruthNode | ConditionNode
export type Node = ConstantNode | PropertyNode | NegatedNode | LogicalNode

export function constant(value: ConstantNode['value']): ConstantNode {
  return { kind: 'constant', value, depth: 1, evaluate: () => value }
}

export function truth(value: Logical): TruthNode {
  return { kind: 'truth', value, depth: 1, evaluate: () => value }
}

export function property(name: string): PropertyNode {
  return { kind: 'property', name, depth: 1, evaluate: (properties) => properties.get(name) ?? null }
}

export function negate(operand: Node): NegatedNode {
  const evaluate = (properties: Properties): Value => {
    const value = operand.evaluate(properties)
    return isNumeric(value) ? negated(value) : null
  }
  return { kind: 'negated', depth: operand.depth + 1, evaluate }
}

/** A property alone is true only if it is a boolean, and no property is one. */
export function ofProperty(operand: PropertyNode): ConditionNode {
  return condition(operand.depth + 1, (properties) => (operand.evaluate(properties) === null ? null : false))
}

export function not(operand: LogicalNode): ConditionNode {
  return condition(operand.depth + 1, (properties) => {
    const value = operand.evaluate(properties)
    return value === null ? null : !value
  })
}

/** One operand is enough to decide: false for AND, true for OR; what follows it is not looked at. */
export function chain(decisive: boolean, operands: readonly LogicalNode[]): LogicalNode {
  const [only] = operands
  if (only !== undefined && operands.length === 1) return only
  return condition(1 + Math.max(...operands.map(({ depth }) => depth)), (properties) => {
    let isUnknown = false
    for (const operand of operands) {
      const value = operand.evaluate(properties)
      if (value === decisive) return decisive
      if (value === null) isUnknown = true
    }
    return isUnknown ? null : !decisive
  })
}

/** Unknown on the left is unknown, unless both are; unknown on the right alone is false. */
export function equal(left: Node, right: Node): ConditionNode {
  return condition(1 + Math.max(left.depth, right.depth), (properties) => {
    const a = left.evaluate(properties)
    const b = right.evaluate(properties)
    if (a === null) return b === null ? true : null
    if (b === null) return false
    return compare(a, b) === 0
  })
}

export type Order = '<' | '<=' | '>' | '>='

export function ordered(left: Node, order: Order, right: Node): ConditionNode {
  const holds = ORDERS[order]
  return condition(1 + Math.max(left.depth, right.depth), (properties) => {
    const a = left.evaluate(properties)
    if (a === null) return null
    const b = right.evaluate(properties)
    if (b === null) return null
    return holds(orderOf(a, b))
  })
}

export function isIn(left: PropertyNode, texts: readonly string[], isWanted: boolean): ConditionNode {
  const set = new Set(texts)
  return condition(2, (properties) => {
    const text = left.evaluate(properties)
    return typeof text === 'string' ? set.has(text) === isWanted : null
  })
}

export type TextTest = 'CONTAINS' | 'STARTSWITH' | 'ENDSWITH'

/** False for what is no text, and whenever an empty text is looked for: also where it must not be found. */
export function textTest(left: Node, test: TextTest, searched: string, isWanted: boolean): ConditionNode {
  const holds = TEXT_TESTS[test]
  return condition(left.depth + 1, (properties) => {
    if (searched === '') return false
    const text = left.evaluate(properties)
    return typeof text === 'string' && holds(text, searched) === isWanted
  })
}

const ORDERS: Readonly<Record<Order, (order: number) => boolean>> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
}

const TEXT_TESTS: Readonly<Record<TextTest, (text: string, searched: string) => boolean>> = {
  CONTAINS: (text, searched) => text.includes(searched),
  STARTSWITH: (text, searched) => text.startsWith(searched),
  ENDSWITH: (text, searched) => text.endsWith(searched),
}

function condition(depth: number, evaluate: Evaluate<Logical>): ConditionNode {
  return { kind: 'condition', depth, evaluate }
}

function orderOf(a: Known, b: Known): number {
  return typeof a === 'string' && typeof b === 'string' ? compareTextsAsDoubles(a, b) : compare(a, b)
}
