/** Expressions are compiled once, and a bounded number of them is kept. */
import { expect, it } from 'vitest'
import { CompiledExpressions } from './compiled-expressions.ts'
import { ExpressionError } from './expression-error.ts'
import { Sql92 } from './sql92.ts'

it('gives the same one for the same text, also what is wrong with it', () => {
  const expressions = new CompiledExpressions()
  const good = expressions.compiled('SQL92', 'a > 1')
  expect(good).toBeInstanceOf(Sql92)
  expect(expressions.compiled('SQL92', 'a > 1')).toBe(good)
  const bad = expressions.compiled('SQL92', 'a >')
  expect(bad).toBeInstanceOf(ExpressionError)
  expect(expressions.compiled('SQL92', 'a >')).toBe(bad)
  expect(expressions.compiled('XPATH', 'a > 1')).toBeInstanceOf(ExpressionError)
})

it('drops the oldest beyond a thousand, and beyond four million characters', () => {
  const expressions = new CompiledExpressions()
  for (let i = 0; i < 1_200; i++) expressions.compiled('SQL92', `a > ${i}`)
  expect(expressions.size).toBe(1_000)
  for (let i = 0; i < 100; i++) expressions.compiled('SQL92', `a = '${i}${'x'.repeat(65_000)}'`)
  expect(expressions.size).toBe(61)
})
