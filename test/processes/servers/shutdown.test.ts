/** How servers end: cleanly at the first signal, at once at the second. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePorts } from '@dledger-ts/dledger/internals'
import { serverScript } from '../group/server-process.ts'
import { until, untilTrue } from '../group/until.ts'
import { healthy, loneBroker, Workplace } from './single-server.ts'

const TIMEOUT_MS = 60_000

let workplace: Workplace

beforeEach(() => {
  workplace = new Workplace()
})

afterEach(async () => {
  await workplace.close()
})

describe('a clean end', { timeout: TIMEOUT_MS }, () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'a broker ends with 0 at %s and starts again on its store',
    async (signal) => {
      const settings = await loneBroker(workplace)
      for (let start = 0; start < 2; start++) {
        const server = await workplace.broker(settings)
        server.signal(signal)
        expect(await server.ended).toMatchObject({ status: 0, signal: null })
      }
    },
  )

  test('a broker ends with 0 at SIGTERM while it starts', async () => {
    const settings = await loneBroker(workplace)
    const server = workplace.launch('mqbroker', ['-c', workplace.configuration('broker.conf', settings)])
    await until('the broker answers', TIMEOUT_MS, async () =>
      fetch(`http://127.0.0.1:${settings['metricsPromExporterPort']}/status`),
    )
    server.signal('SIGTERM')
    expect(await server.ended).toMatchObject({ status: 0, signal: null })
  })

  test.runIf(existsSync('/dev/full'))('a log for which there is no room ends no server', async () => {
    const settings = await loneBroker(workplace)
    const conf = workplace.configuration('broker.conf', settings)
    const full = openSync('/dev/full', 'w')
    const broker = spawn(process.execPath, [serverScript('mqbroker'), '-c', conf], {
      stdio: ['ignore', 'ignore', full],
    })
    closeSync(full)
    const ended = once(broker, 'exit')
    try {
      await untilTrue('the broker serves', TIMEOUT_MS, async () => {
        if (broker.exitCode !== null) return true
        return (await fetch(`http://127.0.0.1:${settings['metricsPromExporterPort']}/health`)).status === 200
      })
      broker.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    } finally {
      broker.kill('SIGKILL')
    }
  })

  test('after SIGKILL a broker starts again on its store', async () => {
    const settings = await loneBroker(workplace)
    const killed = await workplace.broker(settings)
    killed.signal('SIGKILL')
    expect((await killed.ended).signal).toBe('SIGKILL')
    const server = await workplace.broker(settings)
    expect((await server.stop()).status).toBe(0)
  })

  test('a broker that was killed and not waited for by its parent does not own its store any more', async () => {
    const settings = await loneBroker(workplace)
    const killed = await workplace.orphanedBroker(settings)
    process.kill(killed, 'SIGKILL')
    const server = await workplace.broker(settings)
    expect((await server.stop()).status).toBe(0)
  })

  test('a namesrv ends with 0 at SIGTERM', async () => {
    const [port = 0, metricsPort = 0] = await freePorts(2)
    const conf = workplace.configuration('namesrv.conf', { metricsPromExporterPort: metricsPort })
    const server = workplace.launch('mqnamesrv', ['--port', String(port), '-c', conf])
    await healthy(server, metricsPort)
    expect((await server.stop()).status).toBe(0)
  })
})

describe('the command lines', { timeout: TIMEOUT_MS }, () => {
  test.each(['mqbroker', 'mqnamesrv'] as const)('%s has --help and --version', async (program) => {
    const help = await workplace.runToEnd(program, ['--help'])
    expect(help.status).toBe(0)
    expect(help.stdout).toContain('-c')
    const version = await workplace.runToEnd(program, ['--version'])
    expect(version).toMatchObject({ status: 0 })
    expect(version.stdout.trim()).toMatch(/^\d+\.\d+\.\d+/)
  })

  test('an option that is none is an error', async () => {
    const ended = await workplace.runToEnd('mqbroker', ['--bogus'])
    expect(ended.status).toBe(1)
    expect(ended.stderr).toContain('--bogus')
  })

  test('what mqbroker -p prints is a configuration that it takes', async () => {
    const conf = workplace.configuration('broker.conf', await loneBroker(workplace))
    const printed = await workplace.runToEnd('mqbroker', ['-p', '-c', conf])
    expect(printed.status).toBe(0)
    const lines = printed.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/=(.*)/s) as [string, string])
    const again = workplace.configuration('again.conf', Object.fromEntries(lines.map(([key, value]) => [key, value])))
    const second = await workplace.runToEnd('mqbroker', ['-p', '-c', again])
    expect(second).toMatchObject({ status: 0, stderr: '', stdout: printed.stdout })
  })
})
