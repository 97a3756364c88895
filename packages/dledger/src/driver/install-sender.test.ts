/** When an offer is repeated, and when it gives way to another. */
import { silentLogger } from '@dledger-ts/base'
import { beforeEach, expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import type { InstallAck, InstallOffer, Message } from '../raft/messages.ts'
import type { Raft } from '../raft/raft.ts'
import type { Transport } from '../transport/transport.ts'
import { CatchUpBudget } from './catch-up-budget.ts'
import { InstallSender } from './install-sender.ts'
import type { OpenedMember } from './open-member.ts'

let sent: Message[]
let firstIndex: number
let peersToInstall: string[]
let sender: InstallSender

beforeEach(() => {
  sent = []
  firstIndex = 10
  peersToInstall = []
  const log = {
    get firstIndex(): number {
      return firstIndex
    },
    get beforeFirst(): object {
      return { index: firstIndex - 1, term: 1, endPos: 640, chain: 7 }
    },
  }
  sender = new InstallSender({
    member: { log, hardState: { storeId: 'store-n0' } } as unknown as OpenedMember,
    raft: {
      peers: ['n1', 'n2'],
      peersToInstall: () => peersToInstall,
      configurationUpTo: () => null,
      termAt: () => 1,
      installed: () => {},
    } as unknown as Raft,
    settings: DEFAULT_SETTINGS,
    transport: { send: (message: Message) => void sent.push(message), queuedBytes: () => 0 } as unknown as Transport,
    stateMachine: null,
    budget: new CatchUpBudget(0, 100),
    logger: silentLogger,
    self: 'n0',
    role: () => ({ role: 'LEADER', term: 1, leader: 'n0', ready: true }),
    commitIndex: () => 20,
    readEntries: () => {},
    whileRunning: (work) => work(),
  })
})

function heartbeats(count: number): void {
  for (let i = 0; i < count; i++) sender.heartbeat()
}

function offers(): (readonly [number, number])[] {
  return sent
    .filter((message): message is InstallOffer => message.type === 'InstallOffer')
    .map((offer) => [offer.id, offer.firstIndex] as const)
}

/** n1 takes the state alone: it says that nothing of the log is wanted, and waits for its own to get there. */
function hasAllOf(id: number): void {
  const fields = { nextIndex: 21, stateAt: -1, isOver: false, index: -1 }
  const ack: InstallAck = { type: 'InstallAck', from: 'n1', to: 'n0', storeId: 'store-n1', term: 1, id, ...fields }
  sender.acknowledged(ack)
}

test('an offer is repeated as long as the one who has all of it can still get there', () => {
  sender.askedBelowStart('n1')
  heartbeats(1)
  hasAllOf(0)
  heartbeats(3)
  hasAllOf(0)
  // Trimmed, but not beyond what it is sent next; and what it needs is here, but was there when the offer was made.
  firstIndex = 14
  heartbeats(3)
  hasAllOf(0)
  firstIndex = 10
  peersToInstall = ['n1']
  heartbeats(3)
  expect(offers()).toEqual([
    [0, 10],
    [0, 10],
    [0, 10],
    [0, 10],
  ])
})

test('what it waits for was trimmed meanwhile: it is offered anew what there is now', () => {
  sender.askedBelowStart('n1')
  heartbeats(1)
  hasAllOf(0)
  firstIndex = 14
  peersToInstall = ['n1']
  heartbeats(3)
  expect(offers()).toEqual([[0, 10]])
  heartbeats(1)
  expect(offers()).toEqual([
    [0, 10],
    [1, 14],
  ])
})

test('who has not said that it has all of it is offered the same again, whatever was trimmed', () => {
  sender.askedBelowStart('n1')
  heartbeats(1)
  firstIndex = 14
  peersToInstall = ['n1']
  heartbeats(3)
  expect(offers()).toEqual([
    [0, 10],
    [0, 10],
  ])
})
