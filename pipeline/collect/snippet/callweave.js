/* the snippet is built by pipeline/collect/snippet */
