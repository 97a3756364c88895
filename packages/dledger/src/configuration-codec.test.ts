import { describe, expect, test } from 'vitest'
import { decodeConfiguration, encodeConfiguration } from './configuration-codec.ts'
import type { Configuration } from './raft/configuration.ts'

const ROWS: readonly { name: string; text: string; configuration: Configuration }[] = [
  {
    name: 'voters alone are written as version 1, which older programs read',
    text: '{"v":1,"voters":[{"id":"n0","storeId":"s0"},{"id":"n1","storeId":null}]}',
    configuration: {
      voters: [
        { id: 'n0', storeId: 's0', address: null },
        { id: 'n1', storeId: null, address: null },
      ],
      learners: [],
    },
  },
  {
    name: 'an address needs version 2',
    text: '{"v":2,"voters":[{"id":"n0","storeId":"s0","address":"host:1"}],"learners":[]}',
    configuration: { voters: [{ id: 'n0', storeId: 's0', address: 'host:1' }], learners: [] },
  },
  {
    name: 'a learner needs version 2',
    text: '{"v":2,"voters":[{"id":"n0","storeId":"s0","address":null}],"learners":[{"id":"n3","storeId":null,"address":"h:2","promote":true}]}',
    configuration: {
      voters: [{ id: 'n0', storeId: 's0', address: null }],
      learners: [{ id: 'n3', storeId: null, address: 'h:2', promote: true }],
    },
  },
  {
    name: 'former masters need version 3',
    text: '{"v":3,"voters":[{"id":"n0","storeId":"s0","address":null}],"learners":[],"formers":[{"storeId":"s9","lastIndex":-1}]}',
    configuration: {
      voters: [{ id: 'n0', storeId: 's0', address: null }],
      learners: [],
      formers: [{ storeId: 's9', lastIndex: -1 }],
    },
  },
]

describe('a configuration entry', () => {
  test.each(ROWS)('$name', ({ text, configuration }) => {
    expect(encodeConfiguration(configuration).toString()).toBe(text)
    expect(decodeConfiguration(Buffer.from(text))).toEqual(configuration)
  })

  test.each([
    ['no JSON', '{', 'CORRUPT'],
    ['no voters', '{"v":1,"voters":[]}', 'CORRUPT'],
    ['a newer version', '{"v":4,"voters":[{"id":"n0","storeId":null}]}', 'INVALID'],
    [
      'a learner without its promise',
      '{"v":2,"voters":[{"id":"n0","storeId":null}],"learners":[{"id":"n1","storeId":null}]}',
      'CORRUPT',
    ],
    [
      'a member named twice',
      '{"v":2,"voters":[{"id":"n0","storeId":null}],"learners":[{"id":"n0","storeId":null,"promote":true}]}',
      'CORRUPT',
    ],
    ['version 3 without former masters', '{"v":3,"voters":[{"id":"n0","storeId":null}]}', 'CORRUPT'],
    ['an address that is no text', '{"v":2,"voters":[{"id":"n0","storeId":null,"address":1}]}', 'CORRUPT'],
  ])('with %s is refused', (_name, text, code) => {
    expect(() => decodeConfiguration(Buffer.from(text))).toThrow(expect.objectContaining({ code }) as Error)
  })
})
