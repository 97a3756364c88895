/** RocketMQ's JSON: everything JSON has, and what fastjson adds. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RemotingError } from '../errors.ts'
import { dialectText, type DialectValue, objectKeyedTable, parseDialect } from './dialect.ts'
import { messageQueueText } from './message-queue.ts'

/** Maps as lists of pairs, null-prototype objects as plain ones. */
function plain(value: DialectValue): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return { pairs: [...value].map((pair) => pair.map(plain)) }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
  }
  return value
}

it.each([
  { text: '{0:"a",-1:"b"}', value: { 0: 'a', '-1': 'b' } },
  { text: '{"0":"a"}', value: { 0: 'a' } },
  {
    text: ' { "a" : [ 1 , 2.5 , -3e2 , true , false , null , "" ] } ',
    value: { a: [1, 2.5, -300, true, false, null, ''] },
  },
  { text: '{{"brokerName":"b"}:7}', value: { pairs: [[{ brokerName: 'b' }, 7]] } },
  {
    text: '{"a":1,{"b":2}:3}',
    value: {
      pairs: [
        ['a', 1],
        [{ b: 2 }, 3],
      ],
    },
  },
  { text: '{{"b":1}:{{"c":2}:[]}}', value: { pairs: [[{ b: 1 }, { pairs: [[{ c: 2 }, []]] }]] } },
  { text: '"\\u4f60\\n\\/\\"\\\\"', value: '你\n/"\\' },
  { text: '"a\tb"', value: 'a\tb' },
  { text: '{"end":9223372036854775807}', value: { end: 9223372036854775807n } },
  { text: '{"end":9007199254740991}', value: { end: 9007199254740991 } },
  { text: '{"a":{"x":1},"b":{"$ref":"$.a"}}', value: { a: { x: 1 }, b: { x: 1 } } },
  { text: '{"a":[{"x":1}],"b":[{"$ref":"$.a[0]"}]}', value: { a: [{ x: 1 }], b: [{ x: 1 }] } },
  {
    text: '{"a":[{"x":1}],{"k":1}:{"$ref":"$.a[0].x"}}',
    value: {
      pairs: [
        ['a', [{ x: 1 }]],
        [{ k: 1 }, 1],
      ],
    },
  },
  { text: '{"a":{"$ref":"$.nothing.here"}}', value: { a: null } },
  { text: '{"a":{"$ref":"$.b"},"b":{"$ref":"$.a"}}', value: { a: null, b: null } },
])('reads $text', ({ text, value }) => {
  expect(plain(parseDialect(text))).toEqual(value)
})

it.each([
  '',
  '{',
  '}',
  '[',
  '[1',
  '[1,]',
  '{,}',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{"a":1]',
  'tru',
  'nul',
  '"a',
  '"\\x"',
  '"\\u12"',
  '1 2',
  '--1',
  '1.2.3',
  '.5',
  '{a:1}',
  '{true:1}',
  "{'a':1}",
  '{"a":1}}',
  '\u0000',
  '[[[',
])('refuses %j with a typed error', (text) => {
  expect(() => parseDialect(text)).toThrow(expect.objectContaining({ code: 'BAD_BODY' }))
})

it('refuses what is nested too deeply, instead of running out of stack', () => {
  for (const open of ['[', '{"a":', '{{"k":1}:', '{[']) {
    expect(() => parseDialect(open.repeat(100_000))).toThrow(RemotingError)
  }
})

it('makes no prototype of a key', () => {
  const value = parseDialect('{"__proto__":{"polluted":1}}') as Record<string, unknown>
  expect(Object.keys(value)).toEqual(['__proto__'])
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

describe('with references a body says no more than one without could', () => {
  const doubled = (levels: number): string => {
    const parts = Array.from({ length: levels }, (_, i) => `"x${i}":[{"$ref":"$.x${i + 1}"},{"$ref":"$.x${i + 1}"}]`)
    return `{${parts.join(',')},"x${levels}":["end"]}`
  }
  const chained = (levels: number): string => {
    const parts = Array.from({ length: levels }, (_, i) => `"x${i}":[{"$ref":"$.x${i + 1}"}]`)
    return `{${parts.join(',')},"x${levels}":["end"]}`
  }
  const many = `{"list":[{"a":"${'x'.repeat(20_000)}"}${',{"$ref":"$.list[0]"}'.repeat(1_000)}]}`

  it.each([
    ['that double each other', doubled(40)],
    ['to one large part', many],
    ['to what they are a part of', '{"a":{"b":{"$ref":"$"}}}'],
    ['to each other', '{"a":{"x":{"$ref":"$.b"}},"b":{"y":{"$ref":"$.a"}}}'],
    ['that reach too deep', chained(200)],
    ['that reach very deep', chained(100_000)],
  ])('references %s are refused', (_, text) => {
    expect(() => parseDialect(text)).toThrow(expect.objectContaining({ code: 'BAD_BODY' }))
  })

  it('others are read', () => {
    expect(dialectText((parseDialect(doubled(3)) as { x0: DialectValue }).x0)).toBe(
      '[[[["end"],["end"]],[["end"],["end"]]],[[["end"],["end"]],[["end"],["end"]]]]',
    )
    const topics = Array.from({ length: 10_000 }, (_, i) => `"T${i}":{"attributes":{"$ref":"$.a"}}`)
    expect(Object.keys(parseDialect(`{"a":{"k":"v"},"topics":{${topics.join(',')}}}`) as object)).toHaveLength(2)
  })
})

it('reads whatever JSON there is as JSON does', () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: 'binary' }), fc.constantFrom(0, 2), (json, indent) => {
      const value: unknown = JSON.parse(json)
      const read = JSON.stringify(plain(parseDialect(JSON.stringify(value, null, indent))), bigintAsNumber)
      expect(JSON.parse(read)).toEqual(value)
    }),
    { numRuns: 500 },
  )
})

it('throws nothing but typed errors, whatever is cut or changed', () => {
  const text = '{"a":[1,{"b":"c\\n"},{{"d":1}:2,"e":{"$ref":"$.a"}}],0:null,"t":true}'
  fc.assert(
    fc.property(fc.nat(text.length), fc.nat(text.length), fc.string({ maxLength: 3 }), (from, to, between) => {
      try {
        parseDialect(text.slice(0, from) + between + text.slice(to))
      } catch (error) {
        expect(error).toBeInstanceOf(RemotingError)
      }
    }),
    { numRuns: 2000 },
  )
})

function bigintAsNumber(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

describe('writes tables whose keys are queues', () => {
  it('as the Go client cuts them apart', () => {
    const queue = (queueId: number) => messageQueueText({ topic: 'T', queueId, brokerName: 'b' })
    expect(
      objectKeyedTable([
        [queue(0), '7'],
        [queue(1), '8'],
      ]),
    ).toBe('{{"brokerName":"b","queueId":0,"topic":"T"}:7,{"brokerName":"b","queueId":1,"topic":"T"}:8}')
    expect(objectKeyedTable([])).toBe('{}')
  })
})
