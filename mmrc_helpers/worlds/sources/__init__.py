"""A user's own tables and pictures, for every world that reads some: where they lie (`places`), their rows
(`rows`), their pictures (`pictures`). Whatever is wrong is told at once; nothing is ever fetched."""
