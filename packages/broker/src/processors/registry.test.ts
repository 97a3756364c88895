/** What is served at once, what is refused, and that every request is answered once. */
import { silentLogger } from '@dledger-ts/base'
import {
  type Connection,
  createRequest,
  createResponse,
  type RemotingCommand,
  ResponseCode,
} from '@dledger-ts/remoting'
import { beforeEach, expect, test } from 'vitest'
import { BODY_BYTES_MAX } from './admin/answer-size.ts'
import {
  Aside,
  type Dispatch,
  type Handler,
  type Processor,
  Registry,
  WAITING_BYTES_MAX,
  WAITING_REQUESTS_MAX,
  WaitingRequests,
} from './registry.ts'

const SLOW = 1
const OTHER = 2
const SLOW_TOO = 3
/** Some of its requests are slow: those with the field `slow`. */
const MIXED = 4

let answers: RemotingCommand[]
let release: (() => void)[]
let registry: Registry
const dispatch: Dispatch = {
  isLeader: () => true,
  isRebuilding: () => false,
  hasOtherLeader: () => false,
  caughtUp: () => Promise.resolve(),
  forward: () => {},
  retry: () => false,
  logger: silentLogger,
}
const connection = {
  respond: (_request: RemotingCommand, response: RemotingCommand) => answers.push(response),
} as unknown as Connection

beforeEach(() => {
  answers = []
  release = []
  const slow: Processor = {
    served: 'here',
    handle: () => new Promise((resolve) => release.push(() => resolve(createResponse(0)))),
  }
  const apart = new WaitingRequests()
  const mixed: Processor = {
    served: 'here',
    handle: (_connection, request) =>
      request.extFields?.['slow'] === undefined
        ? createResponse(0)
        : new Aside(apart, () => new Promise((resolve) => release.push(() => resolve(createResponse(0))))),
  }
  const other: Processor = { served: 'here', handle: () => createResponse(0) }
  registry = new Registry(
    new Map([
      [SLOW, slow],
      [OTHER, other],
      [SLOW_TOO, slow],
      [MIXED, mixed],
    ]),
    dispatch,
  )
})

function run(code: number, bodyBytes = 0, version = 479, extFields = {}): void {
  const request = createRequest(code, extFields, bodyBytes === 0 ? undefined : Buffer.alloc(bodyBytes))
  request.version = version
  request.receivedBytes = bodyBytes
  registry.run(connection, request)
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

test('more of one kind than may wait are refused as busy, other kinds are served, and room comes back', async () => {
  for (let i = 0; i < WAITING_REQUESTS_MAX; i++) run(SLOW)
  expect(answers).toEqual([])
  run(SLOW)
  run(SLOW_TOO, 0, 409)
  expect(answers.map(({ code }) => code)).toEqual([ResponseCode.SYSTEM_BUSY, ResponseCode.SERVICE_NOT_AVAILABLE])
  run(OTHER)
  expect(answers.at(-1)?.code).toBe(0)
  release[0]?.()
  await settled()
  run(SLOW)
  expect(answers).toHaveLength(4)
  expect(release).toHaveLength(WAITING_REQUESTS_MAX + 1)
})

test('bodies of one kind that wait have a limit, and a single one is always taken', async () => {
  run(SLOW, WAITING_BYTES_MAX + 1)
  run(SLOW, 1)
  expect(answers.map(({ code }) => code)).toEqual([ResponseCode.SYSTEM_BUSY])
  release[0]?.()
  await settled()
  run(SLOW, WAITING_BYTES_MAX)
  run(SLOW_TOO, 1)
  expect(answers.map(({ code }) => code)).toEqual([ResponseCode.SYSTEM_BUSY, 0, ResponseCode.SYSTEM_BUSY])
  expect(release).toHaveLength(2)
})

test('an answer that no frame has room for is refused, at once or later', async () => {
  const large = [createResponse(0, '', {}, Buffer.alloc(BODY_BYTES_MAX + 1))]
  large.push(createResponse(0, '', {}, [Buffer.alloc(BODY_BYTES_MAX), Buffer.alloc(1)]))
  const fits = createResponse(0, '', {}, [Buffer.alloc(BODY_BYTES_MAX - 1), Buffer.alloc(1)])
  const all = [...large, fits]
  const handlers = all.flatMap((answer): Handler[] => [() => answer, () => Promise.resolve(answer)])
  const processors = handlers.map((handle, code): [number, Processor] => [code, { served: 'here', handle }])
  const registryOfLarge = new Registry(new Map(processors), dispatch)
  for (const [code] of processors) {
    registryOfLarge.run(connection, createRequest(code))
    await settled()
  }
  expect(answers.map(({ code }) => code)).toEqual([1, 1, 1, 1, 0, 0])
  expect(answers[0]?.remark).toMatch(/^the answer has more than \d+ bytes, and no frame has room for it/)
})

test('headers of what waits count like bodies', () => {
  const request = (receivedBytes: number) => Object.assign(createRequest(SLOW), { receivedBytes })
  registry.run(connection, request(WAITING_BYTES_MAX - 1))
  registry.run(connection, request(2))
  registry.run(connection, request(1))
  expect(answers.map(({ code }) => code)).toEqual([ResponseCode.SYSTEM_BUSY])
})

test('what a handler puts aside is bounded by itself: others of its code go on', async () => {
  for (let i = 0; i < WAITING_REQUESTS_MAX; i++) run(MIXED, 0, 479, { slow: '' })
  run(MIXED, 0, 479, { slow: '' })
  run(MIXED)
  expect(answers.map(({ code }) => code)).toEqual([ResponseCode.SYSTEM_BUSY, ResponseCode.SUCCESS])
  for (const end of release) end()
  await settled()
  expect(answers).toHaveLength(WAITING_REQUESTS_MAX + 2)
  run(MIXED, 0, 479, { slow: '' })
  expect(release).toHaveLength(WAITING_REQUESTS_MAX + 1)
})

test('while the log is applied again only what may be is handled, and what a leader does is forwarded where another one leads', () => {
  const handled: string[] = []
  const processor = (name: string, more: Partial<Processor>): Processor => ({
    served: 'here',
    handle: () => void handled.push(name),
    ...more,
  })
  const processors = new Map([
    [SLOW, processor('any time', { whileRebuilding: true })],
    [OTHER, processor('later', {})],
    [MIXED, processor('by a leader', { served: 'leader' })],
  ])
  let state = { isLeader: false, isRebuilding: true, hasOtherLeader: false }
  const table = new Registry(processors, {
    ...dispatch,
    isLeader: () => state.isLeader,
    isRebuilding: () => state.isRebuilding,
    hasOtherLeader: () => state.hasOtherLeader,
    forward: () => void handled.push('forwarded'),
  }).table()
  const runAll = (): unknown => {
    handled.length = 0
    answers.length = 0
    for (const code of [SLOW, OTHER, MIXED]) void table.get(code)?.(connection, createRequest(code, {}))
    return [...handled, ...answers.map(({ code }) => code)]
  }
  expect(runAll()).toEqual(['any time', 14, 14])
  state = { ...state, hasOtherLeader: true }
  expect(runAll()).toEqual(['any time', 'forwarded', 14])
  state = { isLeader: true, isRebuilding: false, hasOtherLeader: false }
  expect(runAll()).toEqual(['any time', 'later', 'by a leader'])
})
