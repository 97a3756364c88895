/** A slave that looks for its master: whom it asks, when, and what it does on the answer. */
import { silentLogger } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import type { MasterAnswer } from './masters.ts'
import { SlaveLink } from './slave-link.ts'

function linked() {
  const clock = new ManualClock()
  const said: string[] = []
  const world = {
    leader: null as string | null,
    listed: ['m:1'] as readonly string[],
    verdict: 'FITS',
    lastIndex: 7,
    storeId: 'store',
    isGuessed: false,
  }
  const link = new SlaveLink({
    store: {
      status: () => ({ self: 's1', leader: world.leader, leaderAddress: world.leader === null ? null : 'old:1 mark' }),
      copies: {
        standing: () => ({ lastIndex: 9, masterStore: 'own', isGuessed: world.isGuessed }),
        follow: ({ id, address }: { id: string; address: string }) => void said.push(`follows ${id} at ${address}`),
      },
      isRebuilding: () => false,
    } as unknown as ConstructorParameters<typeof SlaveLink>[0]['store'],
    masters: {
      find: () => Promise.resolve(world.listed),
      ask: (address, _copy, haAddress) => {
        said.push(`asks ${address} for ${haAddress}`)
        const answer: MasterAnswer = {
          verdict: address.startsWith('fits') ? 'FITS' : world.verdict,
          lastIndex: world.lastIndex,
          memberId: 'n0',
          storeId: world.storeId,
          haAddress: 'm:2',
          address,
        }
        return Promise.resolve(answer)
      },
      close: () => {},
    },
    haAddress: 's:2',
    clock,
    logger: silentLogger,
    onParted: (lastIndex) => said.push(`parted after ${lastIndex}`),
  })
  const after = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500) {
      clock.advance(500)
      for (let i = 0; i < 20; i++) await Promise.resolve()
    }
  }
  return { link, said, world, after }
}

test('asks the master that is listed, and follows where the logs fit; asks again when it is not heard', async () => {
  const { link, said, world, after } = linked()
  link.start()
  await after(500)
  expect(said).toEqual(['asks m:1 for s:2', 'follows n0 at m:2'])
  await after(2_000)
  expect(said).toHaveLength(2)
  await after(1_000)
  expect(said).toHaveLength(4)
  world.leader = 'n0'
  await after(10_000)
  expect(said).toHaveLength(4)
})

test('asks the last master that it heard, though nobody lists it', async () => {
  const { link, said, world, after } = linked()
  world.leader = 'n0'
  world.listed = []
  link.start()
  await after(1_000)
  world.leader = null
  await after(500)
  expect(said).toEqual(['asks old:1 for s:2', 'follows n0 at m:2'])
})

const parted = (said: readonly string[]): string[] => said.filter((each) => each.startsWith('parted'))

test('a log that parted from the master is given up once, one of another master never, nor one that its own master calls worse', async () => {
  const { link, said, world, after } = linked()
  link.start()
  for (const verdict of ['FOREIGN', 'AHEAD']) {
    world.verdict = verdict
    await after(10_000)
  }
  expect(new Set(said)).toEqual(new Set(['asks m:1 for s:2']))
  world.verdict = 'PARTED'
  await after(10_000)
  expect(parted(said)).toEqual(['parted after 7'])
  expect(said.at(-1)).toBe('parted after 7')
})

test('a log is given up when that was said for three seconds, and no other master is there that it fits', async () => {
  const { link, said, world, after } = linked()
  world.verdict = 'PARTED'
  link.start()
  await after(2_500)
  world.verdict = 'FOREIGN'
  await after(500)
  world.verdict = 'PARTED'
  await after(2_500)
  expect(parted(said)).toEqual([])
  world.listed = ['m:1', 'fits:1']
  await after(500)
  expect(said.slice(-3)).toEqual(['asks m:1 for s:2', 'asks fits:1 for s:2', 'follows n0 at m:2'])
  expect(parted(said)).toEqual([])
})

test.each([
  ['of the end of the log or beyond it', 9, 'store'],
  ['of no place in it', -2, 'store'],
  ['of the master whose log it is', 7, 'own'],
])('a word that the log parted that cannot be true is not taken: %s', async (_, lastIndex, storeId) => {
  const { link, said, world, after } = linked()
  Object.assign(world, { verdict: 'PARTED', lastIndex, storeId })
  link.start()
  await after(20_000)
  expect(parted(said)).toEqual([])
})

test('a log is not given up while its own terms are guessed', async () => {
  const { link, said, world, after } = linked()
  Object.assign(world, { verdict: 'PARTED', isGuessed: true })
  link.start()
  await after(20_000)
  expect(parted(said)).toEqual([])
  world.isGuessed = false
  await after(10_000)
  expect(parted(said)).toEqual(['parted after 7'])
})

test('goes on looking when something goes wrong', async () => {
  const { link, said, world, after } = linked()
  world.listed = null as unknown as readonly string[]
  link.start()
  await after(1_000)
  world.listed = ['m:1']
  await after(1_000)
  expect(said.at(-1)).toBe('follows n0 at m:2')
})
