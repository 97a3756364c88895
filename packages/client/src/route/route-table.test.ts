/** When routes are fetched. The namesrv cannot be reached here: each fetch ends at once and is told as a debug line. */
import { type Clock, silentLogger } from '@dledger-ts/base'
import {
  createResponse,
  encodeTopicRouteData,
  RemotingClient,
  ResponseCode,
  type TopicRouteData,
} from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import { Namesrv } from './namesrv.ts'
import { RouteTable } from './route-table.ts'

/** Time that goes on when a test says so. */
class HandClock implements Clock {
  #nowMs = 0
  #timers: { readonly dueMs: number; readonly callback: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer)
    }
  }

  defer(callback: () => void): void {
    this.after(0, callback)
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#timers.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((one) => one !== next)
      this.#nowMs = next.dueMs
      next.callback()
    }
    this.#nowMs = endMs
  }
}

const LED_BY_B: TopicRouteData = {
  brokerDatas: [{ brokerName: 'b', cluster: 'c', brokerAddrs: new Map([[0, 'b:1']]), enableActingMaster: false }],
  filterServerTable: new Map(),
  queueDatas: [{ brokerName: 'b', perm: 6, readQueueNums: 1, writeQueueNums: 1, topicSysFlag: 0 }],
}

function routesOf(topics: number): { clock: HandClock; table: RouteTable; fetched: string[] } {
  const clock = new HandClock()
  const remoting = new RemotingClient({ clock })
  remoting.close()
  const fetched: string[] = []
  const table = new RouteTable({
    namesrv: new Namesrv({ remoting, addresses: ['127.0.0.1:1'], random: { below: () => 0 } }),
    clock,
    logger: { ...silentLogger, debug: ({ topic }) => fetched.push(String(topic)) },
    newTopicQueues: null,
    fetched: () => {},
  })
  for (let i = 0; i < topics; i++) table.refresh(`T${i}`)
  fetched.length = 0
  table.start()
  return { clock, table, fetched }
}

test('the routes of few topics are fetched together, every 30 s', () => {
  const { clock, fetched } = routesOf(3)
  clock.advance(29_999)
  expect(fetched).toEqual([])
  clock.advance(1)
  expect(fetched).toEqual(['T0', 'T1', 'T2'])
  clock.advance(30_000)
  expect(fetched).toHaveLength(6)
})

test('those of thousands are fetched 100 at a time, each once in a round', () => {
  const { clock, fetched } = routesOf(2_050)
  clock.advance(30_000)
  expect(fetched).toHaveLength(100)
  clock.advance(50)
  expect(fetched).toHaveLength(200)
  clock.advance(1_000)
  expect(fetched).toHaveLength(2_050)
  expect(new Set(fetched).size).toBe(2_050)
  clock.advance(29_000)
  expect(fetched).toHaveLength(2_050)
  clock.advance(1_000)
  expect(fetched.length).toBeGreaterThan(2_050)
})

test('where the leader of thousands is lost, 100 at a time are fetched, each once, and who asks is answered at once', () => {
  const clock = new HandClock()
  const asked: string[] = []
  const response = createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeTopicRouteData(LED_BY_B))
  const namesrv: Pick<Namesrv, 'ask'> = {
    ask: (makeRequest, handler) => {
      asked.push(makeRequest().extFields?.['topic'] ?? '')
      handler.answered(response)
    },
  }
  const rest = { clock, logger: silentLogger, newTopicQueues: null, fetched: () => {} }
  const table = new RouteTable({ namesrv: namesrv as Namesrv, ...rest })
  for (let i = 0; i < 1_050; i++) table.refresh(`T${i}`)
  clock.advance(1_000)
  asked.length = 0
  table.addressLost('b:1')
  table.addressLost('b:1')
  expect(asked).toHaveLength(100)
  table.refresh('T1000')
  expect(asked).toHaveLength(101)
  clock.advance(500)
  expect(new Set(asked).size).toBe(1_050)
  expect(asked.length).toBeLessThanOrEqual(1_051 + 100)
  table.addressLost('b:1')
  const before = asked.length
  table.close()
  clock.advance(10_000)
  expect(asked.length).toBeLessThanOrEqual(before)
})

test('nothing is fetched by time once the table is closed, in the middle of a round either', () => {
  const { clock, table, fetched } = routesOf(1_000)
  clock.advance(30_050)
  table.close()
  clock.advance(120_000)
  expect(fetched).toHaveLength(200)
})
