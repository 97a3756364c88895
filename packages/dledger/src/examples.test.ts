/** The programs in `examples/` do what they say. They use the built packages, as an embedder does. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'

const run = promisify(execFile)
const example = (name: string) => fileURLToPath(new URL(`../examples/${name}`, import.meta.url))

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dledger-example-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('the audit log keeps what was appended across runs', async () => {
  await run(process.execPath, [example('audit-log.mjs'), directory])
  const { stdout } = await run(process.execPath, [example('audit-log.mjs'), directory])
  expect(stdout.match(/"did":"login"/g)).toHaveLength(2)
})

test('three nodes share four groups', async () => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const { stdout } = await run(process.execPath, [example('many-groups.mjs'), directory, ports.join(',')])
  expect(stdout.match(/: appended at \d+\n/g)).toHaveLength(4)
  expect(stdout).toContain('n0 has 4 groups and speaks with n1 and n2\n')
})

test('three processes agree on a sum, also after the leader is killed', async () => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const { stdout } = await run(process.execPath, [example('counter.mjs'), directory, ports.join(',')])
  expect(stdout).toMatch(/leads; the sum is 55\n/)
  expect(stdout).toMatch(/was killed, n\d leads; the sum is 100\n/)
})

test('a replicated map is read from any member, also from one that was away', async () => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const { stdout } = await run(process.execPath, [example('kv-map.mjs'), directory, ports.join(',')])
  expect(stdout).toMatch(/set it, n\d reads green\n/)
  expect(stdout).toMatch(/is back and reads blue; its map has 101 keys\n/)
  expect(stdout).toMatch(/its log starts later now: true\n/)
})
