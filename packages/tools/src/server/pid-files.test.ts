/** How `mqshutdown` finds servers, and whom it must leave alone. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { runningServers, writePidFile } from './pid-files.ts'

let home: string
let children: ChildProcess[]

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pid-files-'))
  children = []
  vi.stubEnv('DLEDGER_HOME', home)
})

afterEach(() => {
  vi.unstubAllEnvs()
  for (const child of children) child.kill('SIGKILL')
  rmSync(home, { recursive: true, force: true })
})

/** A process of this user that names `word` on its command line. */
async function processNaming(word: string): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)', word])
  children.push(child)
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child.pid as number
}

/** Writes the file of this installation for another process. */
function pidFileOf(pid: number): void {
  writePidFile('broker', () => {})
  const own = join(home, 'run', `broker-${process.pid}.json`)
  const content = readFileSync(own, 'utf8').replace(String(process.pid), String(pid))
  rmSync(own)
  writeFileSync(join(home, 'run', `broker-${pid}.json`), content)
}

test('a server that runs is found', async () => {
  const pid = await processNaming('/bin/mqbroker.js')
  pidFileOf(pid)
  expect(runningServers('broker')).toEqual([pid])
  expect(runningServers('namesrv')).toEqual([])
})

test.runIf(process.platform === 'linux')('whoever has the id of a dead server by now is left alone', async () => {
  pidFileOf(await processNaming('/somebody/app.js'))
  expect(runningServers('broker')).toEqual([])
  expect(readdirSync(join(home, 'run'))).toEqual([])
})

test('a file that a power failure cut off is no obstacle', async () => {
  const pid = await processNaming('/bin/mqbroker.js')
  pidFileOf(pid)
  writeFileSync(join(home, 'run', 'broker-999999999.json'), '')
  writeFileSync(join(home, 'run', 'broker-x.json'), '{')
  expect(runningServers('broker')).toEqual([pid])
})

test('a server goes on where the file cannot be written, and says so', () => {
  rmSync(home, { recursive: true })
  writeFileSync(home, 'a file in the way')
  const told: string[] = []
  writePidFile('broker', (line) => told.push(line))
  expect(told).toHaveLength(1)
  expect(told[0]).toContain('mqshutdown will not find this broker')
})
