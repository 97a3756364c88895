/** A registrar keeps one name server informed: at once, periodically, after failures and after lost connections. */
import { type Clock, silentLogger, systemClock } from '@dledger-ts/base'
import {
  createRequest,
  createResponse,
  type Processor,
  RemotingServer,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { afterEach, expect, test } from 'vitest'
import { EventQueue } from '../testing/event-queue.ts'
import { ManualClock } from '../testing/manual-clock.ts'
import { Registrar } from './registrar.ts'

const PERIOD_MS = 30_000
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A server that takes registrations; `hold` keeps their answers back until it is released. */
async function nameServer(port = 0) {
  const registrations = new EventQueue<string>()
  const unregistrations = new EventQueue<string>()
  let code: number = ResponseCode.SUCCESS
  let gate: Promise<void> = Promise.resolve()
  const server = new RemotingServer({
    host: '127.0.0.1',
    ports: [port],
    processors: new Map<number, Processor>([
      [
        RequestCode.REGISTER_BROKER,
        async (_connection: unknown, request: RemotingCommand) => {
          registrations.push(request.extFields?.['name'] ?? '')
          await gate
          return createResponse(code)
        },
      ],
      [
        RequestCode.UNREGISTER_BROKER,
        (_connection: unknown, request: RemotingCommand) => {
          unregistrations.push(request.extFields?.['name'] ?? '')
          return createResponse(ResponseCode.SUCCESS)
        },
      ],
    ]),
  })
  await server.start()
  closers.push(() => server.close())
  return {
    server,
    registrations,
    unregistrations,
    address: `127.0.0.1:${server.ports[0]}`,
    answerWith: (next: number) => (code = next),
    hold: () => {
      let release: () => void = () => {}
      gate = new Promise((resolve) => (release = resolve))
      return release
    },
  }
}

function registrarOf(address: string) {
  const manual = new ManualClock()
  // The network is real, waiting is not.
  const clock: Clock = {
    nowMs: () => manual.nowMs(),
    monotonicMs: () => manual.monotonicMs(),
    after: (delayMs, callback) => manual.after(delayMs, callback),
    defer: (callback) => systemClock.defer(callback),
  }
  const state: { name: string | null } = { name: 'first' }
  const command = (code: number) => (state.name === null ? null : createRequest(code, { name: state.name }))
  const registrar = new Registrar({
    address,
    clock,
    logger: silentLogger,
    periodMs: PERIOD_MS,
    timeoutMs: 24_000,
    registration: () => command(RequestCode.REGISTER_BROKER),
    unregistration: () => command(RequestCode.UNREGISTER_BROKER),
  })
  closers.push(() => registrar.close())
  return { registrar, manual, state }
}

/** Waits for a state that the event loop brings about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

test('it registers at once and then every period', async () => {
  const names = await nameServer()
  const { registrar, manual } = registrarOf(names.address)
  registrar.register()
  expect(await names.registrations.next()).toBe('first')
  await until(() => registrar.isRegistered)
  manual.advance(PERIOD_MS - 1)
  expect(names.registrations.size).toBe(0)
  manual.advance(1)
  expect(await names.registrations.next()).toBe('first')
})

test('before there is a role, nothing is registered', async () => {
  const names = await nameServer()
  const { registrar, manual, state } = registrarOf(names.address)
  state.name = null
  registrar.register()
  manual.advance(PERIOD_MS)
  state.name = 'with a role'
  registrar.register()
  expect(await names.registrations.next()).toBe('with a role')
})

test('a name server that starts later, or refuses, is asked again every second', async () => {
  const first = await nameServer()
  await first.server.close()
  const { registrar, manual } = registrarOf(first.address)
  const tried = manual.pending
  registrar.register()
  await until(() => manual.pending > tried && !registrar.isRegistered)
  const names = await nameServer(Number(first.address.split(':')[1]))
  names.answerWith(ResponseCode.SYSTEM_ERROR)
  const asked = names.registrations.next()
  let isAsked = false
  void asked.then(() => (isAsked = true))
  while (!isAsked) {
    manual.advance(1_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  names.answerWith(ResponseCode.SUCCESS)
  while (!registrar.isRegistered) {
    manual.advance(1_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
})

test('a change while a registration is under way leads to exactly one more', async () => {
  const names = await nameServer()
  const release = names.hold()
  const { registrar, state } = registrarOf(names.address)
  registrar.register()
  expect(await names.registrations.next()).toBe('first')
  state.name = 'second'
  registrar.register()
  registrar.register()
  release()
  expect(await names.registrations.next()).toBe('second')
  await until(() => registrar.isRegistered)
  expect(names.registrations.size).toBe(0)
})

test('a lost connection is registered again at once', async () => {
  const names = await nameServer()
  const { registrar } = registrarOf(names.address)
  registrar.register()
  await names.registrations.next()
  await until(() => registrar.isRegistered)
  for (const connection of names.server.connections) connection.close()
  expect(await names.registrations.next()).toBe('first')
})

test('closing says goodbye once', async () => {
  const names = await nameServer()
  const { registrar } = registrarOf(names.address)
  registrar.register()
  await until(() => registrar.isRegistered)
  await registrar.close()
  expect(await names.unregistrations.next()).toBe('first')
})
