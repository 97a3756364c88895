/** A member whose configuration does not fit its group says so in one line and ends; the group goes on. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePorts } from '@dledger-ts/dledger/internals'
import type { ServerProcess } from '../group/server-process.ts'
import { until } from '../group/until.ts'
import { errorLines, LOG_FILE_BYTES, type Settings, Workplace } from './single-server.ts'

const TIMEOUT_MS = 60_000
const SERVES_WITHIN_MS = 30_000

interface Status {
  role: string | null
  term: number
}

let workplace: Workplace

beforeEach(() => {
  workplace = new Workplace()
})

afterEach(async () => {
  await workplace.close()
})

class Member {
  readonly settings: Settings
  server: ServerProcess | undefined

  constructor(settings: Settings) {
    this.settings = settings
  }

  start(change: Settings = {}): void {
    const id = String(this.settings['dLegerSelfId'])
    const conf = workplace.configuration(`${id}.conf`, { ...this.settings, ...change })
    this.server = workplace.launch('mqbroker', ['-c', conf])
  }

  async status(): Promise<Status> {
    const answer = await fetch(`http://127.0.0.1:${this.settings['metricsPromExporterPort']}/status`)
    return (await answer.json()) as Status
  }
}

/** Three members that know each other; none is started. */
async function members(): Promise<[Member, Member, Member]> {
  const ports = await freePorts(9)
  const peers = [0, 1, 2].map((i) => `n${i}-127.0.0.1:${ports[i]}`).join(';')
  const made = [0, 1, 2].map(
    (i) =>
      new Member({
        brokerName: 'strict',
        brokerIP1: '127.0.0.1',
        bindAddress: '127.0.0.1',
        listenPort: ports[3 + i] as number,
        namesrvAddr: '127.0.0.1:1',
        storePathRootDir: workplace.path(`n${i}`),
        metricsPromExporterPort: ports[6 + i] as number,
        mappedFileSizeCommitLog: LOG_FILE_BYTES,
        enableDLegerCommitLog: 'true',
        dLegerGroup: 'strict',
        dLegerPeers: peers,
        dLegerSelfId: `n${i}`,
      }),
  )
  return made as [Member, Member, Member]
}

describe('a stranger among the peers', { timeout: TIMEOUT_MS }, () => {
  test.each<{ name: string; change: Settings; words: string[] }>([
    { name: 'of another group', change: { dLegerGroup: 'loose' }, words: ['strict', 'loose'] },
    {
      name: 'with another file size',
      change: { mappedFileSizeCommitLog: 2 * LOG_FILE_BYTES },
      words: [String(LOG_FILE_BYTES), String(2 * LOG_FILE_BYTES)],
    },
  ])('$name', async ({ change, words }) => {
    const [first, second, stranger] = await members()
    first.start()
    second.start()
    const leader = await until('one of the two leads', SERVES_WITHIN_MS, async () => {
      for (const member of [first, second]) if ((await member.status()).role === 'LEADER') return member
      return undefined
    })
    const { term } = await leader.status()

    stranger.start(change)
    const ended = await stranger.server?.ended
    if (ended === undefined) throw new Error('the stranger was not started')
    expect(ended.status).toBe(1)
    const lines = errorLines(ended)
    expect(lines).toHaveLength(1)
    for (const word of words) expect(lines[0]).toContain(word)
    expect(await leader.status()).toMatchObject({ role: 'LEADER', term })
    for (const member of [first, second]) expect(member.server?.runs).toBe(true)
  })
})
