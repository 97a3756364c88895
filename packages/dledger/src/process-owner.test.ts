/** Which processes hold a directory. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { processOwner } from './process-owner.ts'

const stat = (pid: number) =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')

test('this process lives, one of another start or boot does not', () => {
  const owner = processOwner()
  const { pid, processStart, bootId } = owner
  expect(owner.isAlive(pid, processStart, bootId)).toBe(true)
  expect(owner.isAlive(pid, `${processStart}1`, bootId)).toBe(false)
  expect(owner.isAlive(pid, processStart, 'another boot')).toBe(false)
})

test.runIf(process.platform === 'linux')(
  'a zombie does not live: its parent has only not asked how it ended',
  async () => {
    // A shell that becomes `sleep` never asks for the child it had started.
    const parent = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      const pid = Number(await new Promise<Buffer>((resolve) => parent.stdout.once('data', resolve)))
      const start = stat(pid)[19] as string
      while (stat(pid)[0] !== 'Z') await new Promise((resolve) => setImmediate(resolve))
      const owner = processOwner()
      expect(owner.isAlive(pid, start, owner.bootId)).toBe(false)
    } finally {
      parent.kill()
    }
  },
)
