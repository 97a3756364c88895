/**
 * Ports that nothing listens on, for servers whose configuration needs a number. They lie below the range from which
 * the system draws the ports of outgoing connections, so that none of those takes one in between. Until a server listens, nobody else is
 * given them: a process gives none twice in a minute, and workers of one test run draw from shares of their own.
 */
import { createServer } from 'node:net'
import { randomInt } from 'node:crypto'

const LOWEST = 12_000
const HIGHEST = 31_000
/** A broker also listens two ports below its own, and Apache's one above: neighbours are kept free. */
const SPACING = 4
const ATTEMPT_COUNT_MAX = 2_000
/** One is of programs that are no worker of a test run. */
const SHARES = 5
const share =
  process.env['VITEST_POOL_ID'] === undefined ? 0 : 1 + (Number(process.env['VITEST_POOL_ID']) % (SHARES - 1))
/** When: by then a server listens there, or never will. */
const given = new Map<number, number>()
const GIVEN_MS = 60_000

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Finds `count` ports, each with free neighbours, no two of them close to each other. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = []
  for (let attempt = 0; attempt < ATTEMPT_COUNT_MAX && found.length < count; attempt++) {
    const step = SHARES * SPACING
    const port = randomInt(LOWEST / step, HIGHEST / step) * step + share * SPACING
    const givenMs = given.get(port)
    if (givenMs !== undefined && performance.now() - givenMs < GIVEN_MS) continue
    given.set(port, performance.now())
    if ((await isFree(port)) && (await isFree(port - 2)) && (await isFree(port + 1))) found.push(port)
    else given.delete(port)
  }
  if (found.length < count) throw new Error(`no ${count} free ports between ${LOWEST} and ${HIGHEST}`)
  return found
}
