/** Queues in turn and by hash. */
import { describe, expect, it } from 'vitest'
import { TopicRoute } from '../route/topic-route.ts'
import { RoundRobin, selectByHash } from './queue-choice.ts'

function route(led: Record<string, boolean>, queues = 2): TopicRoute {
  const names = Object.keys(led)
  return new TopicRoute({
    topic: 'T',
    isProvisional: false,
    readQueues: [],
    writeQueues: names.flatMap((brokerName) =>
      Array.from({ length: queues }, (_, queueId) => ({ brokerName, queueId, topic: 'T' })),
    ),
    addresses: new Map(
      names.map((name) => [name, new Map(led[name] === true ? [[0, `${name}:1`]] : [[1, `${name}:2`]])]),
    ),
  })
}

describe('the round robin', () => {
  it.each([
    { name: 'takes all in turn', led: { a: true, b: true }, avoid: null, chosen: 'a1 b0 b1 a0' },
    { name: 'avoids the broker that failed', led: { a: true, b: true }, avoid: 'a', chosen: 'b0 b1 b0 b1' },
    { name: 'avoids all that failed', led: { a: true, b: true, c: true }, avoid: 'ac', chosen: 'b0 b1 b0 b1' },
    { name: 'takes the one that failed when it is alone', led: { a: true }, avoid: 'a', chosen: 'a1 a0 a1 a0' },
    { name: 'skips those that nobody leads', led: { a: false, b: true }, avoid: null, chosen: 'b0 b1 b0 b1' },
    {
      name: 'takes the one that failed before one that nobody leads',
      led: { a: true, b: false },
      avoid: 'a',
      chosen: 'a1 a0 a1 a0',
    },
    { name: 'takes none when nobody leads', led: { a: false }, avoid: null, chosen: '- - - -' },
  ])('$name', ({ led, avoid, chosen }) => {
    const turn = new RoundRobin(0)
    const taken = Array.from({ length: 4 }, () => {
      const queue = turn.choose(route(led), avoid === null ? null : new Set(avoid))
      return queue === undefined ? '-' : `${queue.brokerName}${queue.queueId}`
    })
    expect(taken.join(' ')).toBe(chosen)
  })
})

describe('the selector by hash', () => {
  it.each([
    // String.hashCode: "a" is 97, "polygenelubricants" is Integer.MIN_VALUE, "zzzzzz" is negative.
    { key: 'a', queues: 4, queueId: 1 },
    { key: 'polygenelubricants', queues: 3, queueId: 2 },
    { key: 'zzzzzz', queues: 7, queueId: 4 },
  ])('takes the queue of "$key" that Java takes', ({ key, queues, queueId }) => {
    const { writeQueues } = route({ a: true }, queues)
    expect(selectByHash(writeQueues, key).queueId).toBe(queueId)
  })
})
