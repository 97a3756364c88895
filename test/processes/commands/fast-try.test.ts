/** scripts/fast-try.sh as users and checks rely on it: every call, its output and its exit status, on real processes. */
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BrokerStatus, FastTry, type GroupStatus, REPOSITORY } from '../group/fast-try.ts'
import { run } from '../group/run.ts'
import { until } from '../group/until.ts'

const TIMEOUT_MS = 120_000

let group: FastTry

beforeAll(async () => {
  group = await FastTry.create()
}, TIMEOUT_MS)

afterAll(async () => {
  await group.close()
}, TIMEOUT_MS)

function broker(status: GroupStatus, id: string): BrokerStatus {
  const found = status.brokers.find((each) => each.id === id)
  if (found === undefined) throw new Error(`no ${id} in the status`)
  return found
}

/** A process that ended but was not waited for by its parent keeps its id; it does not run. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z'
  } catch (failure) {
    // No such process; or no such file, where the system has no /proc.
    return (failure as NodeJS.ErrnoException).syscall === 'open' && !existsSync('/proc/self')
  }
}

async function follower(): Promise<string> {
  const { brokers } = await group.status()
  const found = brokers.find(({ role }) => role === 'FOLLOWER')
  if (found === undefined) throw new Error('nobody follows')
  return found.id
}

/** Waits until one broker has this role. */
async function roleOf(id: string, role: BrokerStatus['role']): Promise<BrokerStatus> {
  return until(`${id} is ${role}`, TIMEOUT_MS, async () => {
    const found = broker(await group.status(), id)
    return found.role === role ? found : undefined
  })
}

// One group lives through all of them, in this order.
describe('fast-try.sh', { timeout: TIMEOUT_MS }, () => {
  test('status without a group: no leader, nobody up, exit status 1', async () => {
    const done = await group.call(['status', '--json'])
    expect(done.status).toBe(1)
    const status = JSON.parse(done.stdout) as GroupStatus
    expect(status.leader).toBeNull()
    expect(status.brokers.map(({ up, role, pid }) => ({ up, role, pid }))).toEqual(
      Array.from({ length: 3 }, () => ({ up: false, role: null, pid: null })),
    )
    expect((await group.call(['kill-leader'])).status).toBe(1)
  })

  test('a port that another program has is named with its variable, and nothing is started', async () => {
    const port = group.brokerPorts[1] as number
    const occupant = createServer().listen(port, '127.0.0.1')
    await once(occupant, 'listening')
    try {
      const done = await group.call(['start'])
      expect(done.status).toBe(1)
      expect(done.stderr).toContain(`127.0.0.1:${port}`)
      expect(done.stderr).toContain('FAST_TRY_BROKER_PORTS')
      expect(done.stdout).toBe('')
    } finally {
      occupant.close()
    }
    expect((await group.status()).brokers.map(({ up }) => up)).toEqual([false, false, false])
  })

  test('two that start at once start one group, which stop finds', async () => {
    const printed = await Promise.all([group.start(), group.start()])
    const started = printed.join('').matchAll(/^n\d .* pid (\d+)$/gm)
    expect([...started].map((match) => Number(match[1])).toSorted((a, b) => a - b)).toEqual(
      (await group.status()).brokers.map(({ pid }) => Number(pid)).toSorted((a, b) => a - b),
    )
    await group.expect(['stop'])
  })

  test('start prints addresses, the leader and a message that went through', async () => {
    const printed = await group.start('--fresh')
    for (const port of [group.namesrvPort, ...group.brokerPorts]) expect(printed).toContain(`127.0.0.1:${port}`)
    const { leader } = await group.status()
    expect(printed).toMatch(new RegExp(`\\b${leader}\\b`))
  })

  test('status --json has every field, for three members of whom one leads', async () => {
    await group.caughtUp()
    const done = await group.call(['status', '--json'])
    expect(done.status).toBe(0)
    expect(done.stdout.trim().split('\n')).toHaveLength(1)
    const status = JSON.parse(done.stdout) as GroupStatus
    expect(status).toMatchObject({ namesrv: group.namesrv, cluster: 'RaftCluster', brokerName: 'RaftNode00' })
    expect(status.brokers.map(({ id }) => id)).toEqual(['n0', 'n1', 'n2'])
    const leading = status.brokers.filter(({ role }) => role === 'LEADER')
    expect(leading.map(({ id }) => id)).toEqual([status.leader])
    expect(leading[0]?.brokerId).toBe(0)
    for (const [i, member] of status.brokers.entries()) {
      expect(member).toMatchObject({ addr: `127.0.0.1:${group.brokerPorts[i]}`, up: true, term: status.term })
      expect(isAlive(member.pid as number)).toBe(true)
      expect(existsSync(member.storePath)).toBe(true)
      if (member.id !== status.leader) expect(member).toMatchObject({ role: 'FOLLOWER', brokerId: i + 1 })
      const { firstIndex, appliedIndex, commitIndex, lastIndex } = member
      const indexes = [firstIndex, appliedIndex, commitIndex, lastIndex].map(Number)
      expect(indexes).toEqual(indexes.toSorted((a, b) => a - b))
      expect(indexes[0]).toBe(0)
      expect(indexes[3]).toBeGreaterThan(0)
    }
  })

  test('status prints a table that names every member', async () => {
    const done = await group.call(['status'])
    expect(done.status).toBe(0)
    for (const id of ['n0', 'n1', 'n2']) expect(done.stdout).toContain(id)
  })

  test('each broker answers /health, /status and /metrics on its port', async () => {
    const { brokers } = await group.status()
    for (const [i, member] of brokers.entries()) {
      const url = `http://127.0.0.1:${group.metricsPorts[i]}`
      expect((await fetch(`${url}/health`)).status).toBe(200)
      const own = (await (await fetch(`${url}/status`)).json()) as Partial<BrokerStatus>
      expect(own).toMatchObject({ role: member.role, term: member.term, brokerId: member.brokerId })
      const metrics = await fetch(`${url}/metrics`)
      expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/)
      expect(await metrics.text()).toMatch(/^# TYPE /m)
    }
  })

  test('demo makes the round trip again', async () => {
    expect((await group.call(['demo'])).status).toBe(0)
  })

  test('the quickstarts send and print as many messages as they are asked for', async () => {
    const bin = join(REPOSITORY, 'packages', 'tools', 'bin')
    const call = (program: string, ...args: string[]) =>
      run(process.execPath, [join(bin, `${program}.js`), '-n', group.namesrv, ...args], { timeoutMs: TIMEOUT_MS })
    const sent = await call('quickstart-producer', '-c', '40')
    expect(sent).toMatchObject({ status: 0, stderr: '' })
    expect(sent.stdout.match(/^SEND_OK .* RaftNode00 queue \d+ offset \d+$/gm)).toHaveLength(40)
    const bodies: string[] = []
    for (const count of [7, 33]) {
      const received = await call('quickstart-consumer', '-c', String(count))
      expect(received).toMatchObject({ status: 0, stderr: '' })
      const found = received.stdout.match(/Hello RocketMQ \d+$/gm) ?? []
      expect(found).toHaveLength(count)
      bodies.push(...found)
    }
    // None of those that had arrived beyond the count was lost.
    expect(new Set(bodies).size).toBe(40)
  })

  test('start with all of it running starts nothing', async () => {
    const pids = (await group.status()).brokers.map(({ pid }) => pid)
    const done = await group.call(['start', '--flush', 'ASYNC_FLUSH'], TIMEOUT_MS)
    expect(done.status).toBe(0)
    expect(done.stderr).toContain('n0 runs already')
    expect((await group.status()).brokers.map(({ pid }) => pid)).toEqual(pids)
  })

  test('a member down alone does not change the exit status', async () => {
    const id = await follower()
    const { pid } = broker(await group.status(), id)
    await group.expect(['kill', id])
    expect(isAlive(pid as number)).toBe(false)
    const done = await group.call(['status', '--json'])
    expect(done.status).toBe(0)
    expect(broker(JSON.parse(done.stdout) as GroupStatus, id)).toMatchObject({ up: false, role: null, pid: null })
    await group.expect(['restart', id])
    await roleOf(id, 'FOLLOWER')
    await group.caughtUp()
  })

  test('pause stops a leader, another takes over; resume makes it follow', async () => {
    const paused = await group.leader()
    await group.expect(['pause', paused])
    const successor = await group.leader(paused)
    expect(successor).not.toBe(paused)
    await group.expect(['resume', paused])
    expect((await roleOf(paused, 'FOLLOWER')).brokerId).not.toBe(0)
    await group.caughtUp()
  })

  test('restart of a running member gives it another process and keeps its log', async () => {
    const id = await follower()
    const before = broker(await group.status(), id)
    await group.expect(['restart', id])
    const after = await roleOf(id, 'FOLLOWER')
    expect(after.pid).not.toBe(before.pid)
    expect(after.lastIndex).toBeGreaterThanOrEqual(before.lastIndex as number)
  })

  test('kill-leader prints the id alone on a line, and a new term begins', async () => {
    const { leader, term } = await group.status()
    expect(await group.expect(['kill-leader'])).toBe(`${leader}\n`)
    await group.leader(leader ?? undefined)
    expect((await group.status()).term).toBeGreaterThan(term as number)
  })

  test('without a majority no leader serves, and status says so by its exit status', async () => {
    // The leader of the test before is still down.
    const id = await follower()
    await group.expect(['kill', id])
    const done = await until('nobody leads', TIMEOUT_MS, async () => {
      const asked = await group.call(['status', '--json'])
      return asked.status === 1 ? asked : undefined
    })
    expect((JSON.parse(done.stdout) as GroupStatus).leader).toBeNull()
    expect((await group.call(['status'])).status).toBe(1)
    const killing = await group.call(['kill-leader'])
    expect(killing).toMatchObject({ status: 1, stdout: '' })
  })

  test('start brings back what does not run, with its data', async () => {
    const kept = Math.max(...(await group.status()).brokers.map(({ lastIndex }) => lastIndex ?? -1))
    await group.start()
    await group.caughtUp()
    for (const member of (await group.status()).brokers) expect(member.lastIndex).toBeGreaterThanOrEqual(kept)
  })

  test('what cannot be read is named before anything is stopped or removed', async () => {
    const done = await group.call(['start', '--fresh'], TIMEOUT_MS, { FAST_TRY_CONF: '/absent/extra.conf' })
    expect(done.status).toBe(1)
    expect(done.stderr).toContain('FAST_TRY_CONF=/absent/extra.conf cannot be read')
    expect((await group.status()).leader).not.toBeNull()
  })

  test('a broker that is not known, or a word that is none, is an error', async () => {
    for (const args of [['kill', 'n9'], ['pause', 'x'], ['restart'], ['dance']]) {
      const done = await group.call(args)
      expect(done.status, args.join(' ')).not.toBe(0)
      expect(done.stderr.trim(), args.join(' ')).not.toBe('')
    }
  })

  test('stop ends every process and keeps the data, --clean removes it', async () => {
    const before = await group.status()
    await group.expect(['stop'])
    for (const { pid } of before.brokers) expect(isAlive(pid as number)).toBe(false)
    await expect(fetch(`http://127.0.0.1:${group.metricsPorts[0]}/health`)).rejects.toThrow()
    expect(existsSync(broker(before, 'n0').storePath)).toBe(true)
    // Whose directory is shared keeps what is his.
    writeFileSync(join(group.directory, 'notes'), 'of somebody')
    await group.expect(['stop', '--clean'])
    expect(readdirSync(group.directory)).toEqual(['notes'])
    rmSync(join(group.directory, 'notes'))
    await group.expect(['stop', '--clean'])
    expect(existsSync(group.directory)).toBe(false)
  })
})
